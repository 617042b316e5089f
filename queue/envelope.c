/* envelope.c - the envelope block of a queue file
 *
 * Runs in the intake (makes it), the manager, the bounce, attempts and commands (read
 * it). What is read is hostile until parsed: a disk may lie, an attempt may have been
 * handed anything. heloise-queue-format(5). */
#include "queue/envelope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/units.h"
#include "queue/history.h"

#define CONTENT_LETTERS 5
#define MARK_AT 2    /* where the changing part of a recipient's line begins */
#define MARK_LEN 15  /* "S AAAA NNNNNNNN" */
#define MARK_CHECK 6 /* in it, the check letter; a space when nothing was changed yet */
#define STATUSES "TDMPXFB"
#define WARNED 'W'   /* in the place of T */
#define RCPT_FIRST "T 0000 00000000"
#define RCPT_MIN 24 /* bytes of the shortest recipient's line: "r T 0000 00000000 - - a" */
#define CHUNK (128 * 1024)

struct letter {
  char letter;
  unsigned int bit;
};

static const struct letter flag_letters[] = {
  {'b', ENVELOPE_8BITMIME}, {'u', ENVELOPE_SMTPUTF8}, {'r', ENVELOPE_RELAYED},
  {'n', ENVELOPE_REPORT},   {'d', ENVELOPE_DOUBLE},   {'h', ENVELOPE_HOLD},
  {0, 0}};
static const struct letter content_letters[] = {
  {'H', CONTENT_8BIT_HEADER}, {'B', CONTENT_8BIT_BODY}, {'D', CONTENT_DOT_LINE},
  {'L', CONTENT_LOOP},        {'Z', CONTENT_TOO_BIG},   {0, 0}};

static int letters_read(const struct letter *l, const char *s, size_t len, unsigned int *bits)
{
  *bits = 0;
  for (size_t i = 0; i < len; i++) {
    const struct letter *f = l;
    while (f->letter && f->letter != s[i])
      f++;
    if (!f->letter || (*bits & f->bit))
      return -1;
    *bits |= f->bit;
  }
  return 0;
}

static size_t letters_write(const struct letter *l, char *out, unsigned int bits)
{
  size_t n = 0;

  for (; l->letter; l++)
    if (bits & l->bit)
      out[n++] = l->letter;
  out[n] = 0;
  return n;
}

int envelope_flags_read(const char *s, size_t len, unsigned int *flags)
{
  return letters_read(flag_letters, s, len, flags);
}

size_t envelope_flags_write(char out[16], unsigned int flags)
{
  return letters_write(flag_letters, out, flags);
}

int envelope_is_closed(enum rcpt_status s)
{
  return s == RCPT_DONE || s == RCPT_BOUNCED;
}

const char *envelope_domain(const char *address)
{
  const char *at = strrchr(address, '@');

  return at ? at + 1 : "";
}

/* ---- making a block */

static int add_line(stralloc *out, char key, const char *value)
{
  char start[2] = {key, ' '};

  return stralloc_catb(out, start, 2) && stralloc_cats(out, value) && stralloc_cats(out, "\n") ? 0
                                                                                              : -1;
}

int envelope_begin(stralloc *out, const struct envelope_new *n)
{
  char blank[ENVELOPE_HEAD], created[24], flags[16];

  memset(blank, ' ', sizeof blank);
  blank[sizeof blank - 1] = '\n';
  snprintf(created, sizeof created, "%llu", (unsigned long long)n->created);
  envelope_flags_write(flags, n->flags);
  return stralloc_copyb(out, blank, sizeof blank) && add_line(out, 'i', n->id) == 0 &&
             add_line(out, 't', created) == 0 && add_line(out, 's', n->sender) == 0 &&
             add_line(out, 'v', n->envid) == 0 && add_line(out, 'd', n->ret) == 0 &&
             add_line(out, 'o', flags) == 0 && add_line(out, 'c', n->client) == 0 &&
             add_line(out, 'h', n->helo) == 0 && add_line(out, 'p', n->protocol) == 0
           ? 0
           : -1;
}

int envelope_add_rcpt(stralloc *out, const char *address, const char *notify, const char *orcpt)
{
  return stralloc_cats(out, "r " RCPT_FIRST " ") && stralloc_cats(out, *notify ? notify : "-") &&
             stralloc_cats(out, " ") && stralloc_cats(out, *orcpt ? orcpt : "-") &&
             stralloc_cats(out, " ") && stralloc_cats(out, address) && stralloc_cats(out, "\n")
           ? 0
           : -1;
}

int envelope_finish(stralloc *out)
{
  return stralloc_cats(out, "\n") ? 0 : -1;
}

void envelope_head(char head[ENVELOPE_HEAD], const struct envelope_sum *s)
{
  char letters[8], line[ENVELOPE_HEAD + 32];

  letters_write(content_letters, letters, s->content);
  snprintf(line, sizeof line, "heloise 1 %08llx %016llx %-5s %08x %016llx%*s\n",
           (unsigned long long)s->env_len, (unsigned long long)s->body_len, letters, s->longest,
           (unsigned long long)s->checksum, ENVELOPE_HEAD - 68, "");
  memcpy(head, line, ENVELOPE_HEAD);
}

/* ---- reading a block */

struct cursor {
  char *s, *end;
};

static int hex(const char *s, size_t digits, uint64_t *v)
{
  *v = 0;
  for (size_t i = 0; i < digits; i++) {
    unsigned int d = (unsigned char)s[i];
    if (d >= '0' && d <= '9')
      d -= '0';
    else if (d >= 'a' && d <= 'f')
      d -= 'a' - 10;
    else
      return -1;
    *v = *v << 4 | d;
  }
  return 0;
}

static int parse_head(const char *s, struct envelope_sum *sum)
{
  uint64_t longest;
  size_t letters = CONTENT_LETTERS;

  if (memcmp(s, "heloise 1 ", 10) != 0 || s[18] != ' ' || s[35] != ' ' || s[41] != ' ' ||
      s[50] != ' ' || s[ENVELOPE_HEAD - 1] != '\n')
    return -1;
  for (size_t i = 67; i < ENVELOPE_HEAD - 1; i++)
    if (s[i] != ' ')
      return -1;
  while (letters > 0 && s[36 + letters - 1] == ' ')
    letters--;
  if (hex(s + 10, 8, &sum->env_len) != 0 || hex(s + 19, 16, &sum->body_len) != 0 ||
      letters_read(content_letters, s + 36, letters, &sum->content) != 0 ||
      hex(s + 42, 8, &longest) != 0 || hex(s + 51, 16, &sum->checksum) != 0)
    return -1;
  sum->longest = (unsigned int)longest;
  return sum->env_len <= ENVELOPE_HEAD || sum->env_len > ENVELOPE_MAX ||
             sum->body_len > INT64_MAX / 2
           ? -1
           : 0;
}

/* the next line, NUL-terminated in place; NULL at the end or when it holds a control byte */
static char *next_line(struct cursor *c)
{
  char *line = c->s, *nl = memchr(c->s, '\n', (size_t)(c->end - c->s));

  if (!nl)
    return NULL;
  for (char *p = line; p < nl; p++)
    if ((unsigned char)*p < 32 || *p == 127)
      return NULL;
  *nl = 0;
  c->s = nl + 1;
  return line;
}

/* the value of the line "KEY value" that must come next, or NULL */
static const char *value(struct cursor *c, char key)
{
  char *line = next_line(c);

  return line && line[0] == key && line[1] == ' ' ? line + 2 : NULL;
}

static int is_status(char c)
{
  return c && (c == WARNED || strchr(STATUSES, c) != NULL);
}

/* the check letter of a mark: the checksum of the file does not cover what changes in place. A
 * weighted sum modulo a prime: no single changed bit, and few torn writes, leave it the same */
static char check_letter(const char *mark)
{
  static const char letters[] = " 123456789ABCDEFGHJKLMNPQRSTUVW", first[] = RCPT_FIRST;
  unsigned int sum = 0;

  for (unsigned int i = 0; i < MARK_LEN; i++)
    if (i != MARK_CHECK)
      sum += (i + 1) * ((unsigned char)mark[i] + 31 * 256 - (unsigned char)first[i]);
  return letters[sum % 31];
}

/* cuts the word before the next space off *s; NULL when there is none or it is empty */
static const char *word(char **s)
{
  char *w = *s, *space = strchr(w, ' ');

  if (!space || space == w)
    return NULL;
  *space = 0;
  *s = space + 1;
  return strcmp(w, "-") == 0 ? "" : w;
}

static int parse_rcpt(char *line, struct envelope_rcpt *r)
{
  uint64_t attempts;
  char *rest;

  if (strlen(line) < RCPT_MIN - 1 || line[0] != 'r' || line[1] != ' ' ||
      !is_status(line[2]) || line[3] != ' ' || line[17] != ' ' ||
      hex(line + 4, 4, &attempts) != 0 || hex(line + 9, 8, &r->next) != 0)
    return -1;
  rest = line + 18;
  r->is_warned = line[2] == WARNED;
  r->status = r->is_warned ? RCPT_TODO : (enum rcpt_status)line[2];
  r->attempts = (unsigned int)attempts;
  r->notify = word(&rest);
  r->orcpt = r->notify ? word(&rest) : NULL;
  r->address = rest;
  return r->orcpt && *rest ? 0 : -1;
}

/* a recipient in doubt is still to do, now: rather twice than never */
static void judge_mark(struct envelope *e, struct envelope_rcpt *r, char is, char should)
{
  if (is == should)
    return;
  e->doubtful++;
  r->status = RCPT_TODO;
  r->next = 0;
}

static int parse_rcpts(struct cursor *c, struct envelope *e)
{
  size_t lines = 0;

  for (char *p = c->s; p < c->end; p++)
    lines += *p == '\n';
  /* one recipient and the empty line at least; no more room than real lines need */
  if (lines < 2 || lines - 1 > (size_t)(c->end - c->s) / RCPT_MIN)
    return -1;
  e->rcpt = calloc(lines - 1, sizeof *e->rcpt);
  if (!e->rcpt)
    return -1;
  for (e->nrcpt = 0; e->nrcpt < lines - 1; e->nrcpt++) {
    off_t at = c->s - e->block;
    char *line = next_line(c), check;
    if (!line || strlen(line) < RCPT_MIN - 1)
      return -1;
    check = check_letter(line + MARK_AT); /* before the line is cut into words */
    if (parse_rcpt(line, &e->rcpt[e->nrcpt]) != 0)
      return -1;
    judge_mark(e, &e->rcpt[e->nrcpt], line[MARK_AT + MARK_CHECK], check);
    e->rcpt[e->nrcpt].at = at;
  }
  return c->end - c->s == 1 && *c->s == '\n' ? 0 : -1;
}

static int is_id(const char *s)
{
  size_t n = 0;

  for (; s[n]; n++)
    if (!((s[n] >= '0' && s[n] <= '9') || (s[n] >= 'a' && s[n] <= 'z')))
      return 0;
  return n > 0 && n <= ENVELOPE_ID_MAX;
}

static int is_ret(const char *s)
{
  return *s == 0 || strcmp(s, "FULL") == 0 || strcmp(s, "HDRS") == 0;
}

static int parse_lines(struct cursor *c, struct envelope *e)
{
  const char *created, *flags;

  if (!(e->id = value(c, 'i')) || !(created = value(c, 't')) || !(e->sender = value(c, 's')) ||
      !(e->envid = value(c, 'v')) || !(e->ret = value(c, 'd')) || !(flags = value(c, 'o')) ||
      !(e->client = value(c, 'c')) || !(e->helo = value(c, 'h')) || !(e->protocol = value(c, 'p')))
    return -1;
  if (strlen(created) > 12 || units_number(created, strlen(created), &e->created) != 0)
    return -1;
  if (!is_id(e->id) || !is_ret(e->ret) || envelope_flags_read(flags, strlen(flags), &e->flags) != 0)
    return -1;
  return parse_rcpts(c, e);
}

int envelope_parse(const char *buf, size_t len, struct envelope *e, const char **why)
{
  struct envelope_sum sum;
  struct cursor c;

  memset(e, 0, sizeof *e);
  *why = "no head line";
  errno = EBADMSG;
  if (len < ENVELOPE_HEAD || parse_head(buf, &sum) != 0)
    return -1;
  *why = "shorter than its envelope";
  if (sum.env_len > len)
    return -1;
  *why = "out of memory";
  e->block = malloc(sum.env_len);
  if (!e->block)
    return -1;
  memcpy(e->block, buf, sum.env_len);
  c.s = e->block + ENVELOPE_HEAD;
  c.end = e->block + sum.env_len;
  *why = "envelope lines out of order or malformed";
  errno = EBADMSG;
  if (parse_lines(&c, e) != 0) {
    envelope_free(e);
    return -1;
  }
  e->content = sum.content;
  e->longest = sum.longest;
  e->checksum = sum.checksum;
  e->body_at = (off_t)sum.env_len;
  e->body_len = sum.body_len;
  e->history_at = e->body_at + (off_t)sum.body_len + (off_t)strlen(ENVELOPE_END);
  return 0;
}

void envelope_free(struct envelope *e)
{
  free(e->rcpt);
  free(e->block);
  e->rcpt = NULL;
  e->block = NULL;
  e->nrcpt = 0;
}

static int read_all(int fd, char *buf, size_t len, off_t at)
{
  while (len > 0) {
    ssize_t n = pread(fd, buf, len, at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0) {
      errno = EBADMSG;
      return -1;
    }
    buf += n;
    len -= (size_t)n;
    at += n;
  }
  return 0;
}

static int check_end(int fd, const struct envelope *e)
{
  char mark[sizeof ENVELOPE_END - 1];

  if (read_all(fd, mark, sizeof mark, e->history_at - (off_t)sizeof mark) != 0)
    return -1;
  errno = EBADMSG;
  return memcmp(mark, ENVELOPE_END, sizeof mark) == 0 ? 0 : -1;
}

int envelope_read(int fd, struct envelope *e, const char **why)
{
  char small[4096], *big = NULL;
  struct envelope_sum sum;
  ssize_t n = pread(fd, small, sizeof small, 0);
  int r, saved;

  memset(e, 0, sizeof *e);
  *why = "cannot be read";
  if (n < 0)
    return -1;
  if (n >= ENVELOPE_HEAD && parse_head(small, &sum) == 0 && sum.env_len > (uint64_t)n) {
    big = malloc(sum.env_len);
    if (!big || read_all(fd, big, sum.env_len, 0) != 0) {
      *why = errno == EBADMSG ? "shorter than its envelope" : *why;
      free(big);
      return -1;
    }
    n = (ssize_t)sum.env_len;
  }
  r = envelope_parse(big ? big : small, (size_t)n, e, why);
  saved = errno;
  free(big);
  errno = saved;
  if (r != 0)
    return -1;
  *why = "shorter than its length says, or no end mark";
  if (check_end(fd, e) != 0) {
    saved = errno;
    envelope_free(e);
    errno = saved;
    return -1;
  }
  return 0;
}

static int sum_block(int fd, const struct envelope *e, XXH3_state_t *x)
{
  size_t len = (size_t)e->body_at;
  char *block = malloc(len);
  int r = -1;

  if (block && read_all(fd, block, len, 0) == 0) {
    for (size_t i = 0; i < e->nrcpt; i++)
      memcpy(block + e->rcpt[i].at + MARK_AT, RCPT_FIRST, MARK_LEN);
    XXH3_64bits_update(x, block + ENVELOPE_HEAD, len - ENVELOPE_HEAD);
    r = 0;
  }
  free(block);
  return r;
}

/* the checksum of what is in the file: 0, or -1 with errno */
static int sum_file(int fd, const struct envelope *e, uint64_t *sum)
{
  XXH3_state_t *x = XXH3_createState();
  char *buf = malloc(CHUNK);
  off_t at = e->body_at;
  uint64_t left = e->body_len;
  int r = x && buf && XXH3_64bits_reset(x) == XXH_OK ? sum_block(fd, e, x) : -1;

  while (r == 0 && left > 0) {
    size_t n = left < CHUNK ? (size_t)left : CHUNK;
    r = read_all(fd, buf, n, at);
    XXH3_64bits_update(x, buf, n);
    at += (off_t)n;
    left -= n;
  }
  if (r == 0)
    r = read_all(fd, buf, ENVELOPE_HEAD_SUMMED, 0);
  if (r == 0) {
    XXH3_64bits_update(x, buf, ENVELOPE_HEAD_SUMMED);
    *sum = XXH3_64bits_digest(x);
  }
  XXH3_freeState(x);
  free(buf);
  return r;
}

int envelope_verify(int fd, const struct envelope *e, const char **why)
{
  struct stat st;
  uint64_t sum;

  *why = "cannot be read";
  if (fstat(fd, &st) != 0)
    return -1;
  if (st.st_size > e->history_at + HISTORY_MAX) {
    *why = "longer than a message with its history can be";
    errno = EBADMSG;
    return -1;
  }
  if (sum_file(fd, e, &sum) != 0)
    return -1;
  *why = "checksum differs";
  errno = EBADMSG;
  return sum == e->checksum ? 0 : -1;
}

int envelope_rename(int fd, const struct envelope *e, const char *id)
{
  struct envelope_sum sum = {(uint64_t)e->body_at, e->body_len, 0, e->content, e->longest};
  char head[ENVELOPE_HEAD];
  size_t len = strlen(e->id);

  errno = EINVAL;
  if (strlen(id) != len || pwrite(fd, id, len, ENVELOPE_HEAD + 2) != (ssize_t)len ||
      sum_file(fd, e, &sum.checksum) != 0)
    return -1;
  envelope_head(head, &sum);
  return pwrite(fd, head, sizeof head, 0) == (ssize_t)sizeof head ? 0 : -1;
}

static void mark_of(char mark[MARK_LEN + 1], const struct envelope_rcpt *r)
{
  char letter = r->is_warned && r->status == RCPT_TODO ? WARNED : (char)r->status;

  snprintf(mark, MARK_LEN + 1, "%c %04x %08x", letter, r->attempts & 0xffff,
           (unsigned int)(r->next > UINT32_MAX ? UINT32_MAX : r->next));
  mark[MARK_CHECK] = check_letter(mark);
}

int envelope_mark(int fd, const struct envelope *e, size_t i)
{
  const struct envelope_rcpt *r = &e->rcpt[i];
  char mark[MARK_LEN + 1];
  ssize_t n;

  mark_of(mark, r);
  n = pwrite(fd, mark, MARK_LEN, r->at + MARK_AT);
  if (n == MARK_LEN)
    return 0;
  if (n >= 0)
    errno = EIO;
  return -1;
}

void envelope_mark_all(char *image, const struct envelope *e)
{
  char mark[MARK_LEN + 1];

  for (size_t i = 0; i < e->nrcpt; i++) {
    mark_of(mark, &e->rcpt[i]);
    memcpy(image + e->rcpt[i].at + MARK_AT, mark, MARK_LEN);
  }
}
