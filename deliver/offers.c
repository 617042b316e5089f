/* offers.c - how peers were greeted last, and before that changed
 *
 * Written by heloise-deliver. A reader may see a card half-written: what it reads is checked. */
#include "deliver/offers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/verbs.h"

#define NAME "offers"
#define MAGIC "heloise-offers 1\n"
#define CARDS 65536 /* a power of two; the file is sparse */
#define NEAR 16     /* a card lies within so many places of its hash */

struct file {
  char magic[sizeof(struct offers_card)];
  struct offers_card card[CARDS];
};
_Static_assert(sizeof(struct offers_card) <= 128, "cards stay small");

struct offers {
  int fd; /* for writing, or -1 */
  const struct file *file;
};

static const char *const rungs[] = {"none", "EHLO", "HELO"};

const char *offers_rung_word(enum offers_rung r)
{
  return rungs[r];
}

int offers_rung_read(const char *s, size_t len, enum offers_rung *r)
{
  for (int i = OFFERS_EHLO; i <= OFFERS_HELO; i++)
    if (strlen(rungs[i]) == len && memcmp(rungs[i], s, len) == 0) {
      *r = (enum offers_rung)i;
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

static int make(int dirfd)
{
  int fd;

  unlinkat(dirfd, NAME, 0);
  fd = openat(dirfd, NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd >= 0 && (ftruncate(fd, sizeof(struct file)) != 0 ||
                  pwrite(fd, MAGIC, sizeof MAGIC - 1, 0) != (ssize_t)sizeof MAGIC - 1)) {
    close(fd);
    return -1;
  }
  return fd;
}

static struct offers *map(int fd, int is_writer)
{
  struct offers *o = calloc(1, sizeof *o);
  void *m = o ? mmap(NULL, sizeof(struct file), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

  if (m == MAP_FAILED || !is_writer)
    close(fd);
  if (m == MAP_FAILED) {
    free(o);
    return NULL;
  }
  o->fd = is_writer ? fd : -1;
  o->file = m;
  return o;
}

struct offers *offers_open(int dirfd)
{
  int fd = openat(dirfd, NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd >= 0 && !is_ours(fd)) {
    close(fd);
    fd = -1;
  }
  if (fd < 0)
    fd = make(dirfd);
  return fd < 0 ? NULL : map(fd, 1);
}

struct offers *offers_read(int dirfd)
{
  int fd = openat(dirfd, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd < 0)
    return NULL;
  if (is_ours(fd))
    return map(fd, 0);
  close(fd);
  errno = ENOENT;
  return NULL;
}

void offers_close(struct offers *o)
{
  if (!o)
    return;
  munmap((void *)o->file, sizeof(struct file));
  if (o->fd >= 0)
    close(o->fd);
  free(o);
}

/* ---- cards */

static uint32_t hash(const struct offers_card *c)
{
  char key[19];

  memcpy(key, c->ip.bytes, 16);
  key[16] = (char)c->ip.family;
  memcpy(key + 17, &c->port, 2);
  return (uint32_t)XXH3_64bits(key, sizeof key);
}

/* the peer's place, or -1 */
static long find(const struct file *f, const struct offers_card *peer)
{
  uint32_t h = hash(peer);

  for (uint32_t i = 0; i < NEAR; i++) {
    uint32_t at = (h + i) & (CARDS - 1);
    if (f->card[at].port == peer->port && ip_equal(&f->card[at].ip, &peer->ip))
      return (long)at;
  }
  return -1;
}

/* a free place near the peer's, or the one that was greeted longest ago */
static long claim(const struct file *f, const struct offers_card *peer)
{
  uint32_t h = hash(peer), best = h & (CARDS - 1);

  for (uint32_t i = 0; i < NEAR; i++) {
    uint32_t at = (h + i) & (CARDS - 1);
    if (f->card[at].port == 0)
      return (long)at;
    if (f->card[at].now.at < f->card[best].now.at)
      best = at;
  }
  return (long)best;
}

static int is_changed(const struct offers_seen *a, const struct offers_seen *b)
{
  return a->verbs != b->verbs || a->rung != b->rung ||
         (a->banner >= OFFERS_SLOW) != (b->banner >= OFFERS_SLOW);
}

int offers_is_news(const struct offers *o, const struct offers_card *greeting)
{
  long at = o ? find(o->file, greeting) : -1;
  const struct offers_card *c = at < 0 ? NULL : &o->file->card[at];

  if (!o)
    return 0;
  return !c || is_changed(&c->now, &greeting->now) ||
         c->now.at / OFFERS_DAY != greeting->now.at / OFFERS_DAY;
}

static int write_card(struct offers *o, long at, const struct offers_card *c)
{
  off_t where = (off_t)offsetof(struct file, card) + at * (off_t)sizeof *c;

  return pwrite(o->fd, c, sizeof *c, where) == (ssize_t)sizeof *c ? 0 : -1;
}

int offers_note(struct offers *o, const struct offers_card *greeting, struct offers_seen *before)
{
  long at = find(o->file, greeting);
  struct offers_card c = *greeting;
  int is_first = 1;

  memset(before, 0, sizeof *before);
  c.changed = c.now.at;
  memset(&c.before, 0, sizeof c.before);
  if (at >= 0) {
    const struct offers_card *known = &o->file->card[at];
    *before = c.before = known->now;
    is_first = known->before.at == 0 || known->changed + OFFERS_DAY <= c.now.at;
    if (!is_changed(&known->now, &c.now)) {
      c.before = known->before;
      c.changed = known->changed;
    }
  }
  if (write_card(o, at >= 0 ? at : claim(o->file, greeting), &c) != 0)
    return 0;
  return is_first && before->at != 0 && is_changed(before, &c.now);
}

/* makes a copy believable */
static void clean(struct offers_card *c)
{
  struct offers_seen *seen[] = {&c->now, &c->before};

  for (size_t i = 0; i < 2; i++) {
    seen[i]->verbs &= (1U << VERB_COUNT) - 1;
    if (seen[i]->rung > OFFERS_HELO)
      seen[i]->rung = OFFERS_NONE;
  }
  c->host[OFFERS_HOST - 1] = 0;
  for (char *s = c->host; *s; s++)
    if (*s < 33 || *s > 126)
      *s = '?';
}

int offers_each(const struct offers *o, int (*f)(void *arg, const struct offers_card *c), void *arg)
{
  int r = 0;

  for (size_t i = 0; r == 0 && i < CARDS; i++) {
    struct offers_card c = o->file->card[i];
    if (c.port == 0 || (c.ip.family != 4 && c.ip.family != 6))
      continue;
    clean(&c);
    r = f(arg, &c);
  }
  return r;
}
