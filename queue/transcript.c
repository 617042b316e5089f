/* transcript.c - where transcripts are kept: queue/transcript
 *
 * Written by the manager alone. Read by whoever may read the queue; files are hostile then. */
#include "queue/transcript.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/settings.h"
#include "queue/clearing.h"
#include "queue/halfline.h"
#include "queue/store.h"

#define BUCKETS 64
#define PATH 64
#define SHARED_MAX 4096 /* shared files looked at */
#define HOUR 3600
#define PENDING_MAX (256 * 1024)

static int shared = -1; /* the shared file that is written to */
static uint64_t shared_since;
static off_t shared_size;
static stralloc pending; /* for it, not yet written; bound: PENDING_MAX and a record */

int transcript_make(int queue_fd)
{
  char path[PATH];

  if (store_make_dir(queue_fd, "transcript") != 0 || store_make_dir(queue_fd, "transcript/all") != 0)
    return -1;
  for (unsigned int b = 0; b < BUCKETS; b++) {
    snprintf(path, sizeof path, "transcript/%02o", b);
    if (store_make_dir(queue_fd, path) != 0)
      return -1;
  }
  return 0;
}

static void own_path(char out[PATH], const char *id)
{
  snprintf(out, PATH, "transcript/%.2s/%.*s", id + STORE_ID_LEN - 2, STORE_ID_LEN, id);
}

/* ---- writing */

int transcript_has_room(int queue_fd)
{
  uint64_t room = store_free(queue_fd);

  return room > settings.queue_min_free && room - settings.queue_min_free > TRANSCRIPT_ROOM;
}

/* makes room: the newest records stay, at most half of what may be there. The new end, or -1 */
static off_t forget_older(int fd, off_t size)
{
  size_t keep = TRANSCRIPT_OWN_MAX / 2;
  char *buf = malloc(keep), *from;
  off_t end = -1;

  if (buf && pread(fd, buf, keep, size - (off_t)keep) == (ssize_t)keep) {
    from = memmem(buf, keep, "\n= ", 3);
    end = 0;
    if (from) {
      keep -= (size_t)(from + 1 - buf);
      end = pwrite(fd, from + 1, keep, 0) == (ssize_t)keep ? (off_t)keep : -1;
    }
    if (end >= 0 && ftruncate(fd, end) != 0)
      end = -1;
  }
  free(buf);
  return end;
}

void transcript_keep(int queue_fd, const char *id, const stralloc *record)
{
  char path[PATH];
  struct stat st;
  off_t end = -1;
  int fd;

  if (!transcript_has_room(queue_fd))
    return;
  own_path(path, id);
  fd = openat(queue_fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0)
    return;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
    end = st.st_size;
  if (end > 0 && end + (off_t)record->len > TRANSCRIPT_OWN_MAX)
    end = end > TRANSCRIPT_OWN_MAX / 2 ? forget_older(fd, end) : end;
  end = halfline_end(fd, end);
  if (end >= 0 && pwrite(fd, record->s, record->len, end) != (ssize_t)record->len &&
      ftruncate(fd, end) != 0)
    unlinkat(queue_fd, path, 0);
  close(fd);
}

/* how long one shared file is written to: a fraction of the time it is kept, an hour at most */
static uint64_t shared_span(void)
{
  uint64_t span = settings.transcript_keep / 8000;

  return span > HOUR ? HOUR : span + 1;
}

/* the shared file being written to goes with the others; the next record opens a new one */
static void close_shared(const char *name)
{
  char current[PATH];

  snprintf(current, sizeof current, "%08llx", (unsigned long long)shared_since);
  if (shared < 0 || strcmp(name, current) != 0)
    return;
  close(shared);
  shared = -1;
}

static void clear(int queue_fd, unsigned int dir, const struct clearing *c)
{
  char path[PATH];
  int fd;

  snprintf(path, sizeof path, dir < BUCKETS ? "transcript/%02o" : "transcript/all", dir);
  fd = openat(queue_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0)
    clearing_turn(fd, dir, c);
}

/* over the bound, the oldest make room as a new file begins, not with each message */
static void make_room(int queue_fd, uint64_t now)
{
  uint64_t keep = settings.transcript_keep / 1000;
  const struct clearing c = {.before = now > keep ? now - keep : 0, .now = now,
                             .bound = settings.transcript_size};

  if (clearing_is_over(settings.transcript_size))
    clear(queue_fd, BUCKETS, &c);
}

/* how much goes into one shared file: a fraction of the bound */
static off_t shared_most(void)
{
  uint64_t bound = settings.transcript_size;

  return bound && bound / 16 < TRANSCRIPT_ALL_MAX ? (off_t)(bound / 16) : TRANSCRIPT_ALL_MAX;
}

static void open_shared(int queue_fd, uint64_t now)
{
  char path[PATH];
  struct stat st;

  if (shared >= 0)
    close(shared);
  make_room(queue_fd, now);
  snprintf(path, sizeof path, "transcript/all/%08llx", (unsigned long long)now);
  shared = openat(queue_fd, path,
                  O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  shared_since = now;
  if (shared < 0)
    return;
  shared_size = fstat(shared, &st) == 0 && S_ISREG(st.st_mode) ? halfline_end(shared, st.st_size) : -1;
  if (shared_size >= 0)
    return;
  close(shared);
  shared = -1;
}

static void write_shared(int queue_fd, uint64_t now)
{
  if (!transcript_has_room(queue_fd))
    return;
  if (shared < 0 || now < shared_since || now >= shared_since + shared_span() ||
      (shared_size >= shared_most() && now > shared_since))
    open_shared(queue_fd, now);
  if (shared < 0)
    return;
  clearing_grew(BUCKETS, pending.len);
  if (write(shared, pending.s, pending.len) == (ssize_t)pending.len)
    shared_size += (off_t)pending.len;
  else if (ftruncate(shared, shared_size) != 0) /* no half a record before the next one */
    shared_since = 0;
}

void transcript_flush(int queue_fd, uint64_t now)
{
  if (pending.len > 0)
    write_shared(queue_fd, now);
  pending.len = 0;
}

void transcript_keep_last(int queue_fd, const stralloc *record, uint64_t now)
{
  if (pending.len + record->len > PENDING_MAX)
    transcript_flush(queue_fd, now);
  stralloc_cat(&pending, record);
}

void transcript_left(int queue_fd, const char *id)
{
  char path[PATH];

  own_path(path, id);
  utimensat(queue_fd, path, NULL, AT_SYMLINK_NOFOLLOW);
}

/* ---- clearing */

void transcript_sweep(int queue_fd, uint64_t before, int (*is_queued)(const char *id))
{
  static unsigned int turn = BUCKETS; /* where most is comes first */
  unsigned int dir = turn++ % TRANSCRIPT_DIRS;
  const struct clearing c = {.before = before, .now = (uint64_t)time(NULL),
                             .bound = settings.transcript_size,
                             .is_queued = dir < BUCKETS ? is_queued : NULL,
                             .goes = dir < BUCKETS ? NULL : close_shared};

  clear(queue_fd, dir, &c);
}

/* ---- reading */

static DIR *open_dir(int queue_fd, const char *path)
{
  int fd = openat(queue_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);

  if (!dir && fd >= 0)
    close(fd);
  return dir;
}

/* counts attempts and hands them on */
struct counter {
  const struct dialogue_reader *to;
  size_t attempts;
};

static int count_attempt(void *arg, const struct dialogue_attempt *a)
{
  struct counter *c = arg;

  c->attempts++;
  return c->to->attempt(c->to->arg, a);
}

static int pass_line(void *arg, const struct dialogue_line *l)
{
  struct counter *c = arg;

  return c->to->line(c->to->arg, l);
}

/* the records of id that begin at or after s, which may be anywhere in a file: each is given
 * whole, from its head line to the next record of whichever message */
static int read_shared(const char *s, size_t len, const char *id, const struct dialogue_reader *r)
{
  const char *end = s + len, *at = s, *next;
  char head[STORE_ID_LEN + 5];
  int n = snprintf(head, sizeof head, "= %.*s ", STORE_ID_LEN, id), stop = 0;

  while (!stop && at < end && (at = memmem(at, (size_t)(end - at), head, (size_t)n))) {
    if (at > s && at[-1] != '\n') {
      at += n;
      continue;
    }
    next = memmem(at, (size_t)(end - at), "\n= ", 3);
    next = next ? next + 1 : end;
    stop = dialogue_each(at, (size_t)(next - at), id, r);
    at = next;
  }
  return stop;
}

static int open_for_reading(int queue_fd, const char *path)
{
  return openat(queue_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

int transcript_open(int queue_fd, const char *id)
{
  char path[PATH];
  struct stat st;
  int fd;

  own_path(path, id);
  fd = open_for_reading(queue_fd, path);
  if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
    return fd;
  close(fd);
  errno = EBADMSG;
  return -1;
}

/* it is copied, not mapped: the manager may make it shorter meanwhile */
static int read_file(int queue_fd, const char *path, const char *id, const struct dialogue_reader *r)
{
  int fd = open_for_reading(queue_fd, path), stop = 0;
  struct stat st;
  char *text = NULL;
  ssize_t n = 0;

  if (fd < 0)
    return 0;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
    text = malloc((size_t)st.st_size); /* bound: TRANSCRIPT_ALL_MAX and what came within its second */
  if (text)
    n = pread(fd, text, (size_t)st.st_size, 0);
  if (n > 0)
    stop = read_shared(text, (size_t)n, id, r);
  free(text);
  close(fd);
  return stop;
}

static int ascending(const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

  return x < y ? -1 : x > y;
}

/* when the shared files begin, oldest first; how many */
static size_t list_shared(int queue_fd, uint64_t since[SHARED_MAX])
{
  DIR *dir = open_dir(queue_fd, "transcript/all");
  struct dirent *d;
  size_t n = 0;

  while (dir && n < SHARED_MAX && (d = readdir(dir))) {
    char *end;
    since[n] = strtoull(d->d_name, &end, 16);
    n += end > d->d_name && *end == 0;
  }
  if (dir)
    closedir(dir);
  qsort(since, n, sizeof *since, ascending);
  return n;
}

/* from the file that was written to when the message came, until it is found, and one more */
static int each_shared(int queue_fd, const char *id, const struct dialogue_reader *r,
                       const size_t *found)
{
  static uint64_t since[SHARED_MAX];
  size_t n = list_shared(queue_fd, since), i = 0, last;
  uint64_t birth = store_id_time(id);
  int stop = 0;

  while (i + 1 < n && since[i + 1] <= birth)
    i++;
  for (last = n; !stop && i < last; i++) {
    char path[PATH];
    size_t before = *found;
    snprintf(path, sizeof path, "transcript/all/%08llx", (unsigned long long)since[i]);
    stop = read_file(queue_fd, path, id, r);
    if (*found > before && i + 2 < last)
      last = i + 2;
  }
  return stop;
}

int transcript_each(int queue_fd, const char *id, const struct dialogue_reader *r)
{
  struct counter c = {r, 0};
  struct dialogue_reader counting = {count_attempt, pass_line, &c};
  char path[PATH];
  int stop;

  if (!store_is_id(id, strlen(id)))
    return -1;
  own_path(path, id);
  stop = read_file(queue_fd, path, id, &counting);
  if (stop == 0)
    stop = each_shared(queue_fd, id, &counting, &c.attempts);
  return stop == 0 && c.attempts == 0 ? -1 : stop;
}
