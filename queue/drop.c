/* drop.c - the files of queue/drop: how sendmail(8) hands a message over
 *
 * The writer runs in sendmail with its caller's user and group hldrop. The parser runs in
 * the intake; the file is hostile. */
#include "queue/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/address.h"
#include "common/xtext.h"
#include "queue/envelope.h"

#define MAGIC "heloise-drop 1\n"
#define ENVID_MAX 100 /* RFC 3461 4.4 */
#define ORCPT_MAX 500 /* RFC 3461 4.2 */
#define FLAGS (ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8)

/* ---- values */

int drop_is_name(const char *name)
{
  size_t len = strlen(name), tmp = strlen(DROP_TMP);

  return name[0] != '.' && !(len >= tmp && strcmp(name + len - tmp, DROP_TMP) == 0);
}

static int is_graphic(const char *s)
{
  for (; *s; s++)
    if (*s <= 32 || *s >= 127)
      return 0;
  return 1;
}

int drop_is_notify(const char *s)
{
  static const char *const words[] = {"SUCCESS", "FAILURE", "DELAY"};

  if (*s == 0 || strcmp(s, "NEVER") == 0)
    return 1;
  for (;;) {
    size_t n = strcspn(s, ","), i = 0;
    while (i < 3 && !(strlen(words[i]) == n && memcmp(words[i], s, n) == 0))
      i++;
    if (i == 3)
      return 0;
    if (s[n] == 0)
      return 1;
    s += n + 1;
  }
}

int drop_is_envid(const char *s)
{
  return strlen(s) <= ENVID_MAX && xtext_is(s, strlen(s));
}

int drop_is_ret(const char *s)
{
  return *s == 0 || strcmp(s, "FULL") == 0 || strcmp(s, "HDRS") == 0;
}

/* addr-type ";" xtext */
static int is_orcpt(const char *s)
{
  const char *semicolon = strchr(s, ';');

  return *s == 0 || (strlen(s) <= ORCPT_MAX && semicolon && semicolon > s && is_graphic(s) &&
                     xtext_is(semicolon + 1, strlen(semicolon + 1)));
}

/* ---- reading */

static int bad(const char **why, const char *expected)
{
  *why = expected;
  errno = EBADMSG;
  return -1;
}

static int check_address(const char *s, int allow_null)
{
  struct address a = {0};
  const char *why;
  int r = address_parse(s, strlen(s), allow_null, &a, &why);

  stralloc_free(&a.text);
  return r;
}

/* cuts the word at *s off at the next space; NULL when there is none */
static char *cut(char **s)
{
  char *word = *s, *space = strchr(word, ' ');

  if (!space)
    return NULL;
  *space = 0;
  *s = space + 1;
  return strcmp(word, "-") == 0 ? space : word;
}

static int take_rcpt(struct drop *d, char *value, const char **why)
{
  struct drop_rcpt *r = &d->rcpt[d->nrcpt];

  if (d->nrcpt == DROP_RCPT_MAX)
    return bad(why, "too many recipients");
  r->notify = cut(&value);
  r->orcpt = r->notify ? cut(&value) : NULL;
  r->address = value;
  if (!r->orcpt || !drop_is_notify(r->notify) || !is_orcpt(r->orcpt) ||
      check_address(r->address, 0) != 0)
    return bad(why, "expected r NOTIFY ORCPT ADDRESS");
  d->nrcpt++;
  return 0;
}

static int take_sender(struct drop *d, char *value, const char **why)
{
  if (d->sender || check_address(value, 1) != 0)
    return bad(why, "expected one line s with a sender's address");
  d->sender = value;
  return 0;
}

static int take_envid(struct drop *d, char *value, const char **why)
{
  if (*d->envid || !drop_is_envid(value))
    return bad(why, "expected one line v with an ENVID");
  d->envid = value;
  return 0;
}

static int take_ret(struct drop *d, char *value, const char **why)
{
  if (*d->ret || !drop_is_ret(value))
    return bad(why, "expected one line d with FULL or HDRS");
  d->ret = value;
  return 0;
}

static int take_flags(struct drop *d, char *value, const char **why)
{
  if (envelope_flags_read(value, strlen(value), &d->flags) != 0 || (d->flags & ~(unsigned)FLAGS))
    return bad(why, "expected line f with flags b and u");
  return 0;
}

static const struct {
  char letter;
  int (*take)(struct drop *d, char *value, const char **why);
} lines[] = {
  {'s', take_sender}, {'v', take_envid}, {'d', take_ret}, {'f', take_flags}, {'r', take_rcpt},
};

static int take_line(struct drop *d, char *line, const char **why)
{
  if (line[0] && line[1] == ' ')
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
      if (lines[i].letter == line[0])
        return lines[i].take(d, line + 2, why);
  return bad(why, "unknown line");
}

static int take_lines(struct drop *d, char *s, const char **why)
{
  while (*s) {
    char *end = strchr(s, '\n');
    *end = 0;
    if (take_line(d, s, why) != 0)
      return -1;
    s = end + 1;
  }
  if (!d->sender)
    return bad(why, "no line s");
  return d->nrcpt ? 0 : bad(why, "no line r");
}

/* one more than there are lines "r" */
static size_t count_rcpt(const char *s, size_t len)
{
  size_t n = 1;

  for (const char *end = s + len; (s = memmem(s, (size_t)(end - s), "\nr ", 3)) != NULL; s++)
    n++;
  return n;
}

int drop_parse(const char *buf, size_t len, struct drop *d, const char **why)
{
  size_t magic = strlen(MAGIC), head;
  const char *end;

  memset(d, 0, sizeof *d);
  d->envid = d->ret = "";
  if (memcmp(buf, MAGIC, len < magic ? len : magic) != 0)
    return bad(why, "does not begin as a drop file");
  end = memmem(buf, len, "\n\n", 2);
  if (!end) {
    bad(why, "no empty line after the recipients");
    if (len < DROP_HEAD_MAX)
      errno = EAGAIN;
    return -1;
  }
  head = (size_t)(end - buf) + 1;
  if (head < magic || memchr(buf, 0, head))
    return bad(why, "a NUL, or no lines");
  d->block = malloc(head + 1);
  d->rcpt = calloc(count_rcpt(buf, head), sizeof *d->rcpt);
  *why = "out of memory";
  if (!d->block || !d->rcpt)
    goto fail;
  memcpy(d->block, buf, head);
  d->block[head] = 0;
  if (take_lines(d, d->block + magic, why) != 0)
    goto fail;
  d->body_at = head + 1;
  return 0;
fail:
  drop_free(d);
  return -1;
}

void drop_free(struct drop *d)
{
  int error = errno;

  free(d->block);
  free(d->rcpt);
  memset(d, 0, sizeof *d);
  errno = error;
}

/* the first len bytes of the file */
static char *read_start(int fd, size_t len)
{
  char *buf = malloc(len + 1);
  size_t have = 0;

  while (buf && have < len) {
    ssize_t n = pread(fd, buf + have, len - have, (off_t)have);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      if (n == 0)
        errno = EBADMSG;
      free(buf);
      return NULL;
    }
    have += (size_t)n;
  }
  return buf;
}

/* the head, read in blocks that grow until it is there */
static int read_head(int fd, uint64_t size, struct drop *d, const char **why)
{
  for (size_t want = 8192;; want *= 4) {
    size_t len = want < size ? want : (size_t)size;
    char *buf;
    int r;
    if (len > DROP_HEAD_MAX)
      len = DROP_HEAD_MAX;
    *why = "cannot be read";
    buf = read_start(fd, len);
    if (!buf)
      return -1;
    r = drop_parse(buf, len, d, why);
    free(buf);
    if (r == 0 || errno != EAGAIN)
      return r;
    if (len == size || len == DROP_HEAD_MAX)
      return bad(why, *why);
  }
}

int drop_read(int fd, struct drop *d, const char **why)
{
  size_t mark = strlen(DROP_END);
  char end[sizeof DROP_END];
  struct stat st;

  memset(d, 0, sizeof *d);
  *why = "cannot be read";
  if (fstat(fd, &st) != 0)
    return -1;
  if (!S_ISREG(st.st_mode))
    return bad(why, "is not a regular file");
  if (read_head(fd, (uint64_t)st.st_size, d, why) != 0)
    return -1;
  if ((uint64_t)st.st_size >= d->body_at + mark &&
      pread(fd, end, mark, st.st_size - (off_t)mark) == (ssize_t)mark &&
      memcmp(end, DROP_END, mark) == 0) {
    d->body_len = (uint64_t)st.st_size - d->body_at - mark;
    return 0;
  }
  drop_free(d);
  return bad(why, "no end mark");
}

/* ---- writing */

static int put_line(stralloc *out, const char *letter, const char *value)
{
  if (value[strcspn(value, "\r\n")] != 0) {
    errno = EINVAL;
    return -1;
  }
  errno = ENOMEM;
  return stralloc_cats(out, letter) && stralloc_cats(out, " ") && stralloc_cats(out, value) &&
             stralloc_cats(out, "\n") ? 0 : -1;
}

static int put_rcpt(stralloc *out, const struct drop_rcpt *r)
{
  if (r->notify[strcspn(r->notify, " \r\n")] || r->orcpt[strcspn(r->orcpt, " \r\n")]) {
    errno = EINVAL;
    return -1;
  }
  errno = ENOMEM;
  if (!stralloc_cats(out, "r ") || !stralloc_cats(out, *r->notify ? r->notify : "-") ||
      !stralloc_cats(out, " "))
    return -1;
  return put_line(out, *r->orcpt ? r->orcpt : "-", r->address);
}

int drop_head(stralloc *out, const struct drop *d)
{
  char flags[16];

  flags[envelope_flags_write(flags, d->flags & FLAGS)] = 0;
  if (!stralloc_cats(out, MAGIC)) {
    errno = ENOMEM;
    return -1;
  }
  if (put_line(out, "s", d->sender) != 0 || (*d->envid && put_line(out, "v", d->envid) != 0) ||
      (*d->ret && put_line(out, "d", d->ret) != 0) || (*flags && put_line(out, "f", flags) != 0))
    return -1;
  for (size_t i = 0; i < d->nrcpt; i++)
    if (put_rcpt(out, &d->rcpt[i]) != 0)
      return -1;
  errno = ENOMEM;
  return stralloc_cats(out, "\n") ? 0 : -1;
}

int drop_create(struct drop_file *f, const char *queue)
{
  char path[4096];
  int n = snprintf(path, sizeof path, "%s/drop", queue);

  f->dir = f->fd = -1;
  if (n < 0 || (size_t)n >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  /* hldrop may search and write the directory, not read it */
  f->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (int try = 0; f->dir >= 0 && f->fd < 0 && try < 100; try++) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(f->name, sizeof f->name, "%llx.%06lx.%x" DROP_TMP, (unsigned long long)t.tv_sec,
             (unsigned long)t.tv_nsec / 1000, (unsigned int)getpid());
    f->fd = openat(f->dir, f->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (f->fd < 0 && errno != EEXIST)
      break;
  }
  if (f->fd >= 0 && fchmod(f->fd, 0640) == 0)
    return 0;
  drop_abandon(f);
  return -1;
}

int drop_write(struct drop_file *f, const char *s, size_t len)
{
  while (len > 0) {
    ssize_t n = write(f->fd, s, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return -1;
    s += n;
    len -= (size_t)n;
  }
  return 0;
}

/* flushes the directory; a user who may not read it makes its file system do so */
static int flush_dir(const struct drop_file *f)
{
  int fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

  if (fd < 0)
    return errno == EACCES ? syncfs(f->fd) : -1;
  r = fsync(fd);
  close(fd);
  return r;
}

int drop_commit(struct drop_file *f)
{
  char final[sizeof f->name];

  memcpy(final, f->name, sizeof final);
  final[strlen(final) - strlen(DROP_TMP)] = 0;
  if (drop_write(f, DROP_END, strlen(DROP_END)) != 0 || fsync(f->fd) != 0 ||
      renameat2(f->dir, f->name, f->dir, final, RENAME_NOREPLACE) != 0)
    return -1;
  memcpy(f->name, final, sizeof final);
  if (flush_dir(f) != 0)
    return -1;
  close(f->fd);
  close(f->dir);
  f->fd = f->dir = -1;
  return 0;
}

void drop_abandon(struct drop_file *f)
{
  int error = errno;

  if (f->fd >= 0) {
    unlinkat(f->dir, f->name, 0);
    close(f->fd);
  }
  if (f->dir >= 0)
    close(f->dir);
  f->fd = f->dir = -1;
  errno = error;
}
