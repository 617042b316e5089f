/* clearing.c - what transcripts of messages that have left take of the disk, and how they go
 *
 * Runs in heloise-queue. What all take is known from each directory's last turn: one that comes up while
 * that is over the bound gives up its part of the excess, its oldest files. IDs, and so files, lie
 * evenly in the directories, so that all give up what is about as old. */
#include "queue/clearing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGES 256   /* steps of age between now and `before` */
#define BLOCK 4096 /* a file takes a multiple of it */

static uint64_t taken[CLEARING_DIRS];

struct turn {
  const struct clearing *c;
  uint64_t by_age[AGES], total;
  /* while the excess is cleared */
  size_t oldest;   /* the age of which some may stay */
  uint64_t excess; /* bytes of it that go */
};

void clearing_grew(unsigned int dir, uint64_t bytes)
{
  taken[dir] += bytes;
}

static uint64_t taken_by_all(void)
{
  uint64_t sum = 0;

  for (size_t i = 0; i < CLEARING_DIRS; i++)
    sum += taken[i];
  return sum;
}

int clearing_is_over(uint64_t bound)
{
  return bound > 0 && taken_by_all() > bound;
}

static uint64_t size_of(const struct stat *st)
{
  return ((uint64_t)st->st_size + BLOCK - 1) / BLOCK * BLOCK;
}

static size_t age_of(const struct turn *t, const char *name, const struct stat *st)
{
  uint64_t at = t->c->is_queued ? (uint64_t)st->st_mtime : strtoull(name, NULL, 16);
  uint64_t span = t->c->now > t->c->before ? t->c->now - t->c->before : 1;
  uint64_t age = t->c->now > at ? t->c->now - at : 0;

  return age < span ? (size_t)(age * AGES / span) : AGES - 1;
}

static void remove_file(const struct turn *t, int dirfd, const char *name)
{
  if (t->c->goes)
    t->c->goes(name);
  unlinkat(dirfd, name, 0);
}

static void count(struct turn *t, int dirfd, const char *name, const struct stat *st)
{
  if ((uint64_t)st->st_mtime < t->c->before) {
    remove_file(t, dirfd, name);
    return;
  }
  t->by_age[age_of(t, name, st)] += size_of(st);
  t->total += size_of(st);
}

static void thin_out(struct turn *t, int dirfd, const char *name, const struct stat *st)
{
  size_t age = age_of(t, name, st);
  uint64_t size = size_of(st);

  if (age < t->oldest || (age == t->oldest && t->excess == 0))
    return;
  if (age == t->oldest)
    t->excess -= size < t->excess ? size : t->excess;
  t->total -= size < t->total ? size : t->total;
  remove_file(t, dirfd, name);
}

/* calls f for each file of a message that has left */
static void each_left(struct turn *t, DIR *dir,
                      void (*f)(struct turn *t, int dirfd, const char *name, const struct stat *st))
{
  struct dirent *d;
  struct stat st;

  while ((d = readdir(dir)))
    if (d->d_name[0] != '.' && fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISDIR(st.st_mode) && !(t->c->is_queued && t->c->is_queued(d->d_name)))
      f(t, dirfd(dir), d->d_name, &st);
}

/* what the directory may keep: its part of the bound */
static uint64_t share(const struct turn *t)
{
  uint64_t all = taken_by_all();

  if (t->c->bound == 0 || all <= t->c->bound)
    return t->total;
  return (uint64_t)((double)t->total * (double)t->c->bound / (double)all);
}

static void find_oldest(struct turn *t, uint64_t keep)
{
  uint64_t sum = 0;

  for (t->oldest = 0; sum + t->by_age[t->oldest] <= keep; t->oldest++)
    sum += t->by_age[t->oldest];
  t->excess = sum + t->by_age[t->oldest] - keep;
}

void clearing_turn(int fd, unsigned int number, const struct clearing *c)
{
  DIR *dir = fdopendir(fd);
  struct turn t = {.c = c};
  uint64_t keep;

  if (!dir) {
    close(fd);
    return;
  }
  each_left(&t, dir, count);
  taken[number] = t.total;
  keep = share(&t);
  if (keep < t.total) {
    find_oldest(&t, keep);
    rewinddir(dir);
    each_left(&t, dir, thin_out);
    taken[number] = t.total;
  }
  closedir(dir);
}
