/* maildir.c - writes one message into a Maildir
 *
 * Runs in a child of heloise-local, as the mailbox's owner. Message and sender are hostile
 * bytes; the directory is its owner's and may change under us, which costs nobody else
 * anything. */
#include "deliver/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/write.h"

#define CHUNK (64 * 1024)
#define PART_MAX 255
#define NAME_ROOM 512

struct maildir {
  int top, tmp, new;
};

static void close_fd(int fd)
{
  int e = errno;

  if (fd >= 0)
    close(fd);
  errno = e;
}

/* opens the directory `name` in parent, making it if it is missing; a new one is durable
 * before anything is put into it */
static int enter(int parent, const char *name)
{
  const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat(parent, name, how);

  if (fd >= 0 || errno != ENOENT)
    return fd;
  if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
    return -1;
  if (fsync(parent) != 0)
    return -1;
  return openat(parent, name, how);
}

int maildir_open(int base, const char *path)
{
  char part[PART_MAX + 1];
  int fd = -1;

  while (*path) {
    size_t n = strcspn(path, "/");
    int next;
    errno = EINVAL;
    if (n == 0 || n > PART_MAX) {
      close_fd(fd);
      return -1;
    }
    memcpy(part, path, n);
    part[n] = 0;
    next = enter(fd < 0 ? base : fd, part);
    close_fd(fd);
    if (next < 0)
      return -1;
    fd = next;
    path += n + (path[n] == '/');
  }
  return fd;
}

static void close_all(struct maildir *d)
{
  close_fd(d->top);
  close_fd(d->tmp);
  close_fd(d->new);
}

static int open_all(int base, const char *path, struct maildir *d)
{
  int cur;

  d->tmp = d->new = -1;
  d->top = maildir_open(base, path);
  if (d->top < 0)
    return -1;
  d->tmp = enter(d->top, "tmp");
  d->new = enter(d->top, "new");
  cur = enter(d->top, "cur");
  close_fd(cur);
  return d->tmp < 0 || d->new < 0 || cur < 0 ? -1 : 0;
}

/* a name that no other delivery makes: time, process, chance, host (Maildir convention:
 * "/" and ":" of the host in octal) */
static int unique_name(char out[NAME_ROOM], const char *hostname)
{
  struct timespec now;
  uint32_t chance = 0;
  int n;

  clock_gettime(CLOCK_REALTIME, &now);
  if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != (ssize_t)sizeof chance)
    chance = (uint32_t)now.tv_nsec;
  n = snprintf(out, NAME_ROOM, "%lld.M%06ldP%ldR%08x.", (long long)now.tv_sec,
               now.tv_nsec / 1000, (long)getpid(), (unsigned int)chance);
  for (; *hostname && n < NAME_ROOM - 5; hostname++)
    if (*hostname == '/' || *hostname == ':')
      n += snprintf(out + n, NAME_ROOM - (size_t)n, "\\%03o", (unsigned int)*hostname);
    else
      out[n++] = *hostname;
  out[n] = 0;
  errno = ENAMETOOLONG;
  return n > 255 ? -1 : 0;
}

size_t maildir_lines(const char *in, size_t len, int *has_cr, char *out)
{
  const char *end = in + len;
  char *start = out;

  while (in < end) {
    const char *cr;
    size_t n;
    if (*has_cr && *in != '\n')
      *out++ = '\r';
    *has_cr = 0;
    cr = memchr(in, '\r', (size_t)(end - in));
    n = (size_t)((cr ? cr : end) - in);
    memcpy(out, in, n);
    out += n;
    in += n;
    if (cr) {
      *has_cr = 1;
      in++;
    }
  }
  return (size_t)(out - start);
}

/* one header field; bytes that would break its line are left out */
static int write_field(int fd, const char *before, const char *value, const char *after)
{
  char line[1200];
  size_t n = 0;

  for (; *before; before++)
    line[n++] = *before;
  for (; *value && n < sizeof line - 4; value++)
    if ((unsigned char)*value >= 32 && *value != 127)
      line[n++] = *value;
  for (; *after; after++)
    line[n++] = *after;
  return write_all(fd, line, n);
}

static int write_body(int fd, const struct maildir_message *m)
{
  static char in[CHUNK], out[CHUNK + 1];
  uint64_t done = 0;
  int has_cr = 0;
  char last = '\n';

  while (done < m->len) {
    size_t want = m->len - done < CHUNK ? (size_t)(m->len - done) : CHUNK, n;
    ssize_t got = pread(m->fd, in, want, m->at + (off_t)done);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0) {
      errno = got == 0 ? EIO : errno;
      return -1;
    }
    n = maildir_lines(in, (size_t)got, &has_cr, out);
    if (write_all(fd, out, n) != 0)
      return -1;
    if (n > 0)
      last = out[n - 1];
    done += (uint64_t)got;
  }
  if (has_cr && write_all(fd, "\r", 1) != 0)
    return -1;
  return has_cr || last != '\n' ? write_all(fd, "\n", 1) : 0;
}

static int write_file(int fd, const struct maildir_message *m, const char **what)
{
  *what = "writing the message";
  if (write_field(fd, "Return-Path: <", m->sender, ">\n") != 0 ||
      write_field(fd, "Delivered-To: ", m->recipient, "\n") != 0 || write_body(fd, m) != 0)
    return -1;
  *what = "flushing the message";
  return fsync(fd);
}

/* from tmp to new, never over another file */
static int publish(const struct maildir *d, const char *name)
{
  if (renameat2(d->tmp, name, d->new, name, RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL && errno != ENOSYS)
    return -1;
  if (linkat(d->tmp, name, d->new, name, 0) != 0)
    return -1;
  unlinkat(d->tmp, name, 0);
  return 0;
}

static int put(const struct maildir *d, const struct maildir_message *m, const char **what)
{
  char name[NAME_ROOM];
  int fd, e;

  *what = "making a file in tmp";
  if (unique_name(name, m->hostname) != 0)
    return -1;
  fd = openat(d->tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return -1;
  if (write_file(fd, m, what) != 0)
    goto fail;
  *what = "closing the message";
  e = close(fd);
  fd = -1;
  if (e != 0)
    goto fail;
  *what = "moving the message to new";
  if (publish(d, name) != 0)
    goto fail;
  *what = "flushing the directory new";
  if (fsync(d->new) == 0)
    return 0;
  e = errno; /* it is delivered again: what may not last must not stay beside that */
  unlinkat(d->new, name, 0);
  errno = e;
  return -1;
fail:
  e = errno;
  close_fd(fd);
  unlinkat(d->tmp, name, 0);
  errno = e;
  return -1;
}

int maildir_deliver(int base, const char *path, const struct maildir_message *m,
                    const char **what)
{
  struct maildir d;
  int r;

  *what = "opening the Maildir";
  r = open_all(base, path, &d);
  if (r == 0)
    r = put(&d, m, what);
  close_all(&d);
  return r;
}
