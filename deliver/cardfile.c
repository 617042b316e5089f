/* cardfile.c - a file of cards: the format of state/peers and state/offers
 *
 * Written by heloise-deliver; read by attempts and commands. A reader may see a record half-written,
 * and a disk may lie: what is read is checked by who reads it. */
#include "deliver/cardfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC_MAX 32 /* the seed comes after it */

static int is_of(int fd, const struct cardfile_format *t)
{
  size_t n = strlen(t->magic);
  char magic[MAGIC_MAX];
  struct stat st;

  return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == t->size && n <= sizeof magic &&
         pread(fd, magic, n, 0) == (ssize_t)n && memcmp(magic, t->magic, n) == 0;
}

static int open_as(int dirfd, const struct cardfile_format *t, int flags)
{
  int fd = openat(dirfd, t->name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd < 0 || is_of(fd, t))
    return fd;
  close(fd);
  errno = ENOENT;
  return -1;
}

/* a new file takes the place of one that is malformed: who has the old one open keeps it */
static int make(int dirfd, const struct cardfile_format *t)
{
  size_t n = strlen(t->magic);
  uint64_t seed;
  int fd;

  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
    seed = 0;
  unlinkat(dirfd, t->name, 0);
  fd = openat(dirfd, t->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0)
    return -1;
  if (ftruncate(fd, t->size) == 0 &&
      pwrite(fd, &seed, sizeof seed, MAGIC_MAX) == (ssize_t)sizeof seed &&
      pwrite(fd, t->magic, n, 0) == (ssize_t)n)
    return fd;
  close(fd);
  return -1;
}

static void get(int fd, off_t at, void *out, size_t len)
{
  ssize_t n = pread(fd, out, len, at);
  size_t came = n > 0 ? (size_t)n : 0;

  memset((char *)out + came, 0, len - came);
}

static int open_reader(struct cardfile *f, int dirfd, const struct cardfile_format *t)
{
  f->read = open_as(dirfd, t, O_RDONLY);
  if (f->read < 0)
    return -1;
  get(f->read, MAGIC_MAX, &f->seed, sizeof f->seed);
  return 0;
}

/* readers that are forked must have no way to write: a descriptor of their own */
static int with_reader(struct cardfile *f, int dirfd, const struct cardfile_format *t)
{
  if (f->write < 0)
    return -1;
  if (open_reader(f, dirfd, t) == 0)
    return 0;
  close(f->write);
  return -1;
}

int cardfile_open(struct cardfile *f, int dirfd, const struct cardfile_format *t)
{
  f->write = open_as(dirfd, t, O_RDWR);
  if (f->write < 0)
    f->write = make(dirfd, t);
  return with_reader(f, dirfd, t);
}

int cardfile_edit(struct cardfile *f, int dirfd, const struct cardfile_format *t)
{
  f->write = open_as(dirfd, t, O_RDWR);
  return with_reader(f, dirfd, t);
}

int cardfile_read(struct cardfile *f, int dirfd, const struct cardfile_format *t)
{
  f->write = -1;
  return open_reader(f, dirfd, t);
}

void cardfile_close(struct cardfile *f)
{
  close(f->read);
  if (f->write >= 0)
    close(f->write);
}

void cardfile_get(const struct cardfile *f, const struct cardfile_ring *r, size_t at, size_t many,
                  void *out)
{
  size_t first = r->n - at < many ? r->n - at : many;

  get(f->read, r->start + (off_t)(at * r->size), out, first * r->size);
  if (first < many)
    get(f->read, r->start, (char *)out + first * r->size, (many - first) * r->size);
}

size_t cardfile_next(const struct cardfile *f, const struct cardfile_ring *r, size_t at)
{
  off_t from = r->start + (off_t)(at * r->size), data;

  if (at >= r->n)
    return r->n;
  data = lseek(f->read, from, SEEK_DATA);
  if (data < 0)
    return errno == ENXIO ? r->n : at;
  if (data <= from)
    return at;
  at = (size_t)(data - r->start) / r->size;
  return at < r->n ? at : r->n;
}

int cardfile_put(const struct cardfile *f, const struct cardfile_ring *r, size_t at,
                 const void *record)
{
  ssize_t n = pwrite(f->write, record, r->size, r->start + (off_t)(at * r->size));

  if (n >= 0 && n != (ssize_t)r->size)
    errno = ENOSPC;
  return n == (ssize_t)r->size ? 0 : -1;
}
