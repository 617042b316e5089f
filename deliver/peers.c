/* peers.c - peer memory: what attempts learned about peers
 *
 * Written by heloise-deliver, or by `heloise peers forget` under the instance's lock. A reader
 * may see a card half-written; every field is checked where it is read, and all of it is advice. */
#include "deliver/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/units.h"

#define NAME "peers"
#define MAGIC "heloise-peers 1\n"
#define CARDS 16384 /* a power of two; the file is sparse */
#define NEAR 16     /* a card lies within so many places of its hash */
#define KEEP 7776000 /* seconds: a fact past its time counts as seen before for so long */

struct file {
  char magic[sizeof(struct peers_card)];
  struct peers_card card[CARDS];
};
_Static_assert(sizeof(struct peers_card) <= 192, "cards stay small");

struct peers {
  struct file *write;      /* NULL when opened for reading */
  const struct file *read;
};

static const struct {
  const char *word;
  uint32_t first, most;
} facts[FACT_COUNT] = {
  {"none", 0, 0},
#define X(name, word, first, most, help) {word, first, most},
  PEERS_FACTS(X)
#undef X
};

const char *peers_fact_word(enum peers_fact f)
{
  return facts[f].word;
}

int peers_fact_read(const char *s, size_t len, enum peers_fact *f)
{
  for (int i = 1; i < FACT_COUNT; i++)
    if (strlen(facts[i].word) == len && memcmp(facts[i].word, s, len) == 0) {
      *f = (enum peers_fact)i;
      return 0;
    }
  return -1;
}

/* ---- the file */

static int is_ours(int fd)
{
  struct stat st;
  char magic[sizeof MAGIC - 1];

  return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == (off_t)sizeof(struct file) &&
         pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
         memcmp(magic, MAGIC, sizeof magic) == 0;
}

/* a new file takes the place of one that is malformed: who has the old one mapped keeps it */
static int make(int dirfd)
{
  int fd;

  unlinkat(dirfd, NAME, 0);
  fd = openat(dirfd, NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0)
    return -1;
  if (ftruncate(fd, sizeof(struct file)) == 0 &&
      pwrite(fd, MAGIC, sizeof MAGIC - 1, 0) == (ssize_t)sizeof MAGIC - 1)
    return fd;
  close(fd);
  return -1;
}

static struct peers *map(int dirfd, int fd, int is_writer)
{
  struct peers *p = calloc(1, sizeof *p);
  int reading = openat(dirfd, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  void *r = MAP_FAILED, *w = NULL;

  if (p && reading >= 0 && is_ours(reading))
    r = mmap(NULL, sizeof(struct file), PROT_READ, MAP_SHARED, reading, 0);
  if (r != MAP_FAILED && is_writer)
    w = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (w != MAP_FAILED && w)
    madvise(w, sizeof(struct file), MADV_DONTFORK);
  if (reading >= 0)
    close(reading);
  close(fd);
  if (r == MAP_FAILED || w == MAP_FAILED) {
    if (r != MAP_FAILED)
      munmap(r, sizeof(struct file));
    free(p);
    return NULL;
  }
  p->read = r;
  p->write = w;
  return p;
}

static struct peers *open_as(int dirfd, int flags)
{
  int fd = openat(dirfd, NAME, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd < 0)
    return NULL;
  if (is_ours(fd))
    return map(dirfd, fd, flags == O_RDWR);
  close(fd);
  errno = ENOENT;
  return NULL;
}

struct peers *peers_open(int dirfd)
{
  struct peers *p = open_as(dirfd, O_RDWR);
  int fd;

  if (p)
    return p;
  fd = make(dirfd);
  return fd < 0 ? NULL : map(dirfd, fd, 1);
}

struct peers *peers_read(int dirfd)
{
  return open_as(dirfd, O_RDONLY);
}

struct peers *peers_edit(int dirfd)
{
  return open_as(dirfd, O_RDWR);
}

void peers_close(struct peers *p)
{
  if (!p)
    return;
  munmap((void *)p->read, sizeof(struct file));
  if (p->write)
    munmap(p->write, sizeof(struct file));
  free(p);
}

/* ---- cards */

static uint32_t hash(const struct ip *ip, uint16_t port)
{
  uint64_t h = 0xcbf29ce484222325ULL;

  for (size_t i = 0; i < sizeof ip->bytes; i++)
    h = (h ^ ip->bytes[i]) * 0x100000001b3ULL;
  h = (h ^ ip->family) * 0x100000001b3ULL;
  h = (h ^ port) * 0x100000001b3ULL;
  return (uint32_t)(h ^ (h >> 32));
}

static int is_card_of(const struct peers_card *c, const struct ip *ip, uint16_t port)
{
  return c->port == port && ip_equal(&c->ip, ip);
}

static const struct peers_card *find(const struct file *f, const struct ip *ip, uint16_t port)
{
  uint32_t h = hash(ip, port);

  for (uint32_t i = 0; i < NEAR; i++) {
    const struct peers_card *c = &f->card[(h + i) & (CARDS - 1)];
    if (is_card_of(c, ip, port))
      return c;
  }
  return NULL;
}

/* makes a copy believable: no fact out of range, text ended */
static void clean(struct peers_card *c)
{
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++) {
    struct peers_note *n = &c->note[i];
    if (n->fact >= FACT_COUNT)
      n->fact = FACT_NONE;
    n->row[PEERS_EVIDENCE - 1] = 0;
    for (char *s = n->row; *s; s++)
      if (!((*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9')))
        *s = '?';
  }
}

int peers_card(const struct peers *p, const struct ip *ip, uint16_t port, struct peers_card *card)
{
  const struct peers_card *c = p ? find(p->read, ip, port) : NULL;

  if (!c) {
    memset(card, 0, sizeof *card);
    return 0;
  }
  *card = *c;
  clean(card);
  return 1;
}

const struct peers_note *peers_note(const struct peers_card *card, enum peers_fact f)
{
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++)
    if (card->note[i].fact == f)
      return &card->note[i];
  return NULL;
}

int peers_holds(const struct peers_card *card, enum peers_fact f, uint64_t now)
{
  const struct peers_note *n = peers_note(card, f);

  return n && n->until > now;
}

/* ---- learning */

int peers_news_read(const char *evidence, size_t len, struct peers_news *n)
{
  const char *space = memchr(evidence, ' ', len);
  size_t row = space ? (size_t)(space - evidence) : len;
  uint64_t code = 0;

  if (row == 0 || row >= PEERS_EVIDENCE)
    return -1;
  for (size_t i = 0; i < row; i++)
    if (!((evidence[i] >= 'A' && evidence[i] <= 'Z') || (evidence[i] >= '0' && evidence[i] <= '9')))
      return -1;
  if (space && (units_number(space + 1, len - row - 1, &code) != 0 || code > 999))
    return -1;
  memset(n->row, 0, sizeof n->row);
  memcpy(n->row, evidence, row);
  n->code = (uint16_t)code;
  return 0;
}

/* the peer's card, or the one of its neighbours that was used longest ago, emptied */
static struct peers_card *claim(struct file *f, const struct peers_news *n)
{
  struct peers_card *c = (struct peers_card *)find(f, &n->ip, n->port);
  uint32_t h = hash(&n->ip, n->port);

  if (c)
    return c;
  for (uint32_t i = 0; i < NEAR; i++) {
    struct peers_card *at = &f->card[(h + i) & (CARDS - 1)];
    if (!c || at->port == 0 || (c->port != 0 && at->used < c->used))
      c = at;
    if (c->port == 0)
      break;
  }
  memset(c, 0, sizeof *c);
  c->ip = n->ip;
  c->port = n->port;
  return c;
}

static struct peers_note *claim_note(struct peers_card *c, enum peers_fact f)
{
  struct peers_note *n = (struct peers_note *)peers_note(c, f), *oldest = &c->note[0];

  if (n)
    return n;
  n = (struct peers_note *)peers_note(c, FACT_NONE);
  for (size_t i = 1; i < PEERS_FACTS_EACH; i++)
    if (c->note[i].until < oldest->until)
      oldest = &c->note[i];
  if (!n)
    n = oldest;
  memset(n, 0, sizeof *n);
  return n;
}

/* how long it lasts: seed 5's peers (550 and closed) are known for longer (LADDER.md 8 rule 2) */
static uint64_t lasts(const struct peers_news *n, unsigned int level)
{
  uint64_t first = facts[n->fact].first, most = facts[n->fact].most;

  if (n->fact == FACT_HELO_ONLY && strcmp(n->row, "E7") == 0) {
    first = 604800;
    most = 2592000;
  }
  while (level-- > 0 && first < most)
    first *= 2;
  return first < most ? first : most;
}

/* a peer that twice, two minutes apart, did not answer a connection is down (A2) */
static void down_too(struct peers *p, const struct peers_news *n, uint64_t now)
{
  struct peers_news down = *n;

  down.fact = FACT_DOWN;
  peers_learn(p, &down, now);
}

uint64_t peers_learn(struct peers *p, const struct peers_news *n, uint64_t now)
{
  struct peers_card *c = claim(p->write, n);
  struct peers_note *note = claim_note(c, n->fact);
  int is_new = note->fact == FACT_NONE || note->last + KEEP < now;
  uint32_t last = note->last;

  if (is_new)
    *note = (struct peers_note){.since = (uint32_t)now};
  else if (note->until <= now && note->level < 16)
    note->level++; /* proved again after its probation */
  note->fact = (uint8_t)n->fact;
  note->count = (uint16_t)(note->count < UINT16_MAX ? note->count + 1 : note->count);
  note->last = c->used = (uint32_t)now;
  note->until = (uint32_t)(now + lasts(n, note->level));
  memcpy(note->row, n->row, sizeof note->row);
  note->code = n->code;
  if (n->fact == FACT_CONNECT_HANG && !is_new && last + 120 <= now)
    down_too(p, n, now);
  return now + lasts(n, note->level);
}

int peers_unlearn(struct peers *p, const struct peers_news *n)
{
  struct peers_card *c = (struct peers_card *)find(p->write, &n->ip, n->port);
  struct peers_note *note = c ? (struct peers_note *)peers_note(c, n->fact) : NULL;

  if (!note)
    return 0;
  memset(note, 0, sizeof *note);
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++)
    if (c->note[i].fact != FACT_NONE)
      return 1;
  memset(c, 0, sizeof *c);
  return 1;
}

int peers_forget(struct peers *p, const char *key, size_t len)
{
  struct ip ip;
  uint16_t port = 0;
  int n = 0, all = len == 3 && memcmp(key, "all", 3) == 0;

  if (len > 2 && key[0] == '[' && key[len - 1] == ']') {
    key++;
    len -= 2;
  }
  if (!all && ip_parse(key, len, &ip) != 0 && ip_port_parse(key, len, &ip, &port) != 0)
    return -1;
  for (size_t i = 0; i < CARDS; i++) {
    struct peers_card *c = &p->write->card[i];
    if (c->port == 0 || !(all || (ip_equal(&c->ip, &ip) && (port == 0 || c->port == port))))
      continue;
    memset(c, 0, sizeof *c);
    n++;
  }
  return n;
}

static int is_empty(const struct peers_card *c)
{
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++)
    if (c->note[i].fact != FACT_NONE)
      return 0;
  return 1;
}

int peers_each(const struct peers *p, int (*f)(void *arg, const struct peers_card *c), void *arg)
{
  for (size_t i = 0; i < CARDS; i++) {
    struct peers_card c = p->read->card[i];
    int r;
    if (c.port == 0 || (c.ip.family != 4 && c.ip.family != 6))
      continue;
    clean(&c);
    if (is_empty(&c))
      continue;
    r = f(arg, &c);
    if (r != 0)
      return r;
  }
  return 0;
}
