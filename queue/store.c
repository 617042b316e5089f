/* store.c - the queue's directories: messages that are files
 *
 * Runs in the intake (creates and commits), the manager (everything else) and, while
 * they are down, in commands under the instance's lock. Names found on disk are hostile
 * until parsed. DURABILITY.md says why the flushes stand where they stand. */
#include "queue/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/log.h"
#include "queue/store_flight.h"

#define IDS_PER_BUCKET 256 /* then the next directory's turn */

static const char *const state_dirs[STORE_STATES] = {"new", "cur", "hold", "new"};
static const char *const plain_dirs[] = {"tmp", "drop", "corrupt"};
static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* base 32 without i l o u */

const char *store_state_word(enum store_state s)
{
  return state_dirs[s];
}

uint32_t store_hop_hash(const char *nexthop, size_t len)
{
  uint32_t h = (uint32_t)XXH3_64bits(nexthop, len) & ~(uint32_t)STORE_HELD;

  return h ? h : 2;
}

/* ---- ids: 7 digits of seconds, 4 of microseconds, 2 of chance, 2 octal of directory */

static void put_digits(char *out, size_t n, uint64_t v)
{
  while (n-- > 0) {
    out[n] = digits[v & 31];
    v >>= 5;
  }
}

static uint16_t some_chance(void)
{
  static uint16_t pool[128];
  static size_t left;

  if (left == 0) {
    if (getrandom(pool, sizeof pool, GRND_NONBLOCK) != sizeof pool)
      return (uint16_t)(clock() ^ getpid());
    left = sizeof pool / sizeof *pool;
  }
  return pool[--left];
}

void store_fresh_id(char id[STORE_ID_LEN + 1])
{
  static uint64_t last; /* microseconds: never the same twice, also when the clock steps back */
  static unsigned int count, bucket;
  struct timespec now;
  uint64_t us;

  clock_gettime(CLOCK_REALTIME, &now);
  us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
  last = us > last ? us : last + 1;
  if (count++ % IDS_PER_BUCKET == 0)
    bucket = (bucket + 1) % STORE_BUCKETS;
  put_digits(id, 7, last / 1000000);
  put_digits(id + 7, 4, last % 1000000);
  put_digits(id + 11, 2, some_chance());
  id[13] = (char)('0' + bucket / 8);
  id[14] = (char)('0' + bucket % 8);
  id[15] = 0;
}

void store_other_id(char other[STORE_ID_LEN + 1], const char *id, unsigned int n)
{
  memcpy(other, id, STORE_ID_LEN + 1);
  put_digits(other + 7, 6, XXH3_64bits_withSeed(id, STORE_ID_LEN, n));
}

int store_is_id(const char *s, size_t len)
{
  if (len != STORE_ID_LEN)
    return 0;
  for (size_t i = 0; i < 13; i++)
    if (!s[i] || !strchr(digits, s[i]))
      return 0;
  return s[13] >= '0' && s[13] <= '7' && s[14] >= '0' && s[14] <= '7';
}

uint64_t store_id_time(const char *id)
{
  uint64_t t = 0;

  for (size_t i = 0; i < 7; i++)
    t = t << 5 | (uint64_t)(strchr(digits, id[i]) - digits);
  return t;
}

/* ---- names */

static unsigned int bucket_of(const char *id)
{
  return (unsigned int)(id[13] - '0') * 8 + (unsigned int)(id[14] - '0');
}

void store_path(char out[STORE_NAME_MAX], const struct store_name *n)
{
  const char *bucket = n->id + 13;

  if (n->state == STORE_NEW)
    snprintf(out, STORE_NAME_MAX, "new/%s/%s", bucket, n->id);
  else
    snprintf(out, STORE_NAME_MAX, "%s/%s/%s,%08x,%08x", state_dirs[n->state], bucket, n->id,
             n->next, n->hop);
}

static int hex8(const char *s, uint32_t *v)
{
  *v = 0;
  for (int i = 0; i < 8; i++) {
    const char *hex = "0123456789abcdef", *p = s[i] ? strchr(hex, s[i]) : NULL;
    if (!p)
      return -1;
    *v = *v << 4 | (uint32_t)(p - hex);
  }
  return 0;
}

/* reads a file name found in directory `bucket` of a state; 0, or -1 when it is no message's */
static int parse_name(enum store_state s, unsigned int bucket, const char *name,
                      struct store_name *n)
{
  size_t len = strlen(name), want = s == STORE_NEW ? STORE_ID_LEN : STORE_ID_LEN + 18;

  memset(n, 0, sizeof *n);
  if (len != want || !store_is_id(name, STORE_ID_LEN))
    return -1;
  memcpy(n->id, name, STORE_ID_LEN);
  n->state = s;
  if (bucket_of(name) != bucket)
    return -1;
  if (s == STORE_NEW)
    return 0;
  name += STORE_ID_LEN;
  return name[0] == ',' && name[9] == ',' && hex8(name + 1, &n->next) == 0 &&
             hex8(name + 10, &n->hop) == 0
           ? 0
           : -1;
}

int store_is_same(const struct store_name *a, const struct store_name *b)
{
  return strcmp(a->id, b->id) == 0 && a->state == b->state &&
         (a->state == STORE_NEW || (a->next == b->next && a->hop == b->hop));
}

int store_parse(const char *path, struct store_name *n)
{
  for (int s = 0; s < STORE_DIRS; s++) {
    size_t len = strlen(state_dirs[s]);
    const char *b = path + len + 1;
    if (strncmp(path, state_dirs[s], len) == 0 && path[len] == '/' && b[0] >= '0' && b[0] <= '7' &&
        b[1] >= '0' && b[1] <= '7' && b[2] == '/')
      return parse_name((enum store_state)s, (unsigned int)(b[0] - '0') * 8 + (unsigned int)(b[1] - '0'),
                        b + 3, n);
  }
  return -1;
}

/* ---- directories */

int store_flush_dir(int queue_fd, const char *path)
{
  int fd = openat(queue_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int r = fd < 0 ? -1 : fsync(fd);
  int saved = errno;

  if (fd >= 0)
    close(fd);
  errno = saved;
  return r;
}

int store_make_dir(int queue_fd, const char *path)
{
  struct stat queue;

  if (mkdirat(queue_fd, path, 0700) != 0)
    return errno == EEXIST ? 0 : -1;
  if (geteuid() != 0)
    return 0;
  return fstat(queue_fd, &queue) == 0 &&
             fchownat(queue_fd, path, queue.st_uid, queue.st_gid, AT_SYMLINK_NOFOLLOW) == 0
           ? 0
           : -1;
}

int store_make(int queue_fd)
{
  char path[STORE_NAME_MAX];

  for (size_t i = 0; i < sizeof plain_dirs / sizeof *plain_dirs; i++)
    if (store_make_dir(queue_fd, plain_dirs[i]) != 0)
      return -1;
  for (size_t s = 0; s < STORE_DIRS; s++) {
    if (store_make_dir(queue_fd, state_dirs[s]) != 0)
      return -1;
    for (unsigned int b = 0; b < STORE_BUCKETS; b++) {
      snprintf(path, sizeof path, "%s/%02o", state_dirs[s], b);
      if (store_make_dir(queue_fd, path) != 0)
        return -1;
    }
  }
  return store_settle(queue_fd);
}

int store_settle(int queue_fd)
{
  for (size_t i = 0; i < sizeof plain_dirs / sizeof *plain_dirs; i++)
    if (strcmp(plain_dirs[i], "drop") != 0 && store_flush_dir(queue_fd, plain_dirs[i]) != 0)
      return -1;
  for (size_t s = 0; s < STORE_DIRS; s++)
    if (store_flush_dir(queue_fd, state_dirs[s]) != 0)
      return -1;
  return store_flush_dir(queue_fd, ".");
}

uint64_t store_free(int queue_fd)
{
  struct statvfs v;

  if (fstatvfs(queue_fd, &v) != 0)
    return UINT64_MAX;
  if (v.f_files > 0 && v.f_favail == 0)
    return 0;
  return (uint64_t)v.f_bavail * v.f_frsize;
}

/* ---- the intake's side */

int store_create(int queue_fd, const char *id)
{
  char path[STORE_NAME_MAX];

  snprintf(path, sizeof path, "tmp/%.*s", STORE_ID_LEN, id);
  return openat(queue_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

void store_abandon(int queue_fd, const char *id)
{
  char path[STORE_NAME_MAX];

  snprintf(path, sizeof path, "tmp/%.*s", STORE_ID_LEN, id);
  unlinkat(queue_fd, path, 0);
}

static void fail(int queue_fd, struct store_commit *c, const char *where)
{
  char path[STORE_NAME_MAX];

  c->error = errno ? errno : EIO;
  snprintf(path, sizeof path, "%.8s/%.*s", where, STORE_ID_LEN, c->id);
  unlinkat(queue_fd, path, 0);
}

static void flush_files(int queue_fd, struct store_commit *c, size_t n)
{
  /* start all writes, so that the first flush's journal commit holds the whole group */
  for (size_t i = 0; n > 1 && i < n; i++)
    if (!c[i].error)
      sync_file_range(c[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  for (size_t i = 0; i < n; i++)
    if (!c[i].error && fdatasync(c[i].fd) != 0)
      fail(queue_fd, &c[i], "tmp");
}

static void link_files(int queue_fd, struct store_commit *c, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    char from[STORE_NAME_MAX], to[STORE_NAME_MAX];
    if (c[i].error)
      continue;
    snprintf(from, sizeof from, "tmp/%.*s", STORE_ID_LEN, c[i].id);
    snprintf(to, sizeof to, "new/%s/%s", c[i].id + 13, c[i].id);
    if (renameat2(queue_fd, from, queue_fd, to, RENAME_NOREPLACE) != 0) /* an id made twice */
      fail(queue_fd, &c[i], "tmp");
  }
}

void store_commit(int queue_fd, struct store_commit *c, size_t n)
{
  unsigned char flushed[STORE_BUCKETS] = {0};

  flush_files(queue_fd, c, n);
  link_files(queue_fd, c, n);
  for (size_t i = 0; i < n; i++) {
    unsigned int b = bucket_of(c[i].id);
    char dir[STORE_NAME_MAX];
    if (c[i].error)
      continue;
    snprintf(dir, sizeof dir, "new/%s", c[i].id + 13);
    if (!flushed[b])
      flushed[b] = store_flush_dir(queue_fd, dir) == 0 ? 1 : 2;
    if (flushed[b] == 2) /* a failed flush is never believed: the group is not acknowledged */
      fail(queue_fd, &c[i], dir);
  }
}

/* ---- the manager's side */

uint64_t store_bucket_bit(const struct store_name *n)
{
  return (uint64_t)1 << bucket_of(n->id);
}

int store_flush(int queue_fd, enum store_state s, uint64_t buckets)
{
  char path[STORE_NAME_MAX];
  int r = 0;

  for (unsigned int b = 0; b < STORE_BUCKETS; b++)
    if (buckets & (uint64_t)1 << b) {
      snprintf(path, sizeof path, "%s/%02o", state_dirs[s], b);
      r |= store_flush_dir(queue_fd, path);
    }
  return r;
}

int store_put_aside(int queue_fd, const char *path, const char *why)
{
  const char *base = strrchr(path, '/');
  char to[STORE_NAME_MAX + 300];
  int r = -1;

  for (unsigned int i = 0; i < 1000 && r != 0; i++) {
    snprintf(to, sizeof to, i ? "corrupt/%.250s.%u" : "corrupt/%.250s", base ? base + 1 : path, i);
    r = renameat2(queue_fd, path, queue_fd, to, RENAME_NOREPLACE);
    if (r != 0 && errno != EEXIST)
      break;
  }
  log_corrupt(path, why, r == 0 ? to : strerror(errno));
  return r;
}

int store_scan_dir(int queue_fd, enum store_state s, unsigned int bucket, int moves,
                   int (*f)(void *arg, const struct store_name *n), void *arg)
{
  char path[STORE_NAME_MAX];
  struct dirent *d;
  DIR *dir;
  int fd, r = 0;

  snprintf(path, sizeof path, "%s/%02o", state_dirs[s], bucket);
  fd = openat(queue_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  dir = fd < 0 ? NULL : fdopendir(fd);
  if (!dir) {
    if (fd >= 0)
      close(fd);
    return -1;
  }
  while (r == 0 && (errno = 0, d = readdir(dir))) {
    struct store_name n;
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
      continue;
    if (parse_name(s, bucket, d->d_name, &n) == 0 && (d->d_type == DT_REG || d->d_type == DT_UNKNOWN)) {
      r = f(arg, &n);
    } else if (moves) {
      char whole[STORE_NAME_MAX + 256];
      snprintf(whole, sizeof whole, "%s/%s", path, d->d_name);
      store_put_aside(queue_fd, whole, "not the name of a message");
    }
  }
  if (r == 0 && !d && errno != 0)
    r = -1;
  closedir(dir);
  return r;
}

int store_scan(int queue_fd, enum store_state s, int moves,
               int (*f)(void *arg, const struct store_name *n), void *arg)
{
  int result = 0;

  if (s == STORE_FLIGHT)
    return flight_scan(queue_fd, f, arg);
  for (unsigned int b = 0; b < STORE_BUCKETS; b++) {
    int r = store_scan_dir(queue_fd, s, b, moves, f, arg);
    if (r > 0)
      return r;
    if (r < 0)
      result = -1; /* the others are looked at all the same */
  }
  return result;
}

struct wanted {
  const char *id;
  struct store_name *found;
};

static int match(void *arg, const struct store_name *n)
{
  struct wanted *w = arg;

  if (strcmp(n->id, w->id) != 0)
    return 0;
  *w->found = *n;
  return 1;
}

int store_find(int queue_fd, const char *id, struct store_name *n)
{
  struct wanted w = {id, n};
  unsigned int bucket;

  errno = ENOENT;
  if (!store_is_id(id, strlen(id)))
    return -1;
  bucket = bucket_of(id);
  for (int s = 0; s < STORE_DIRS; s++)
    if (store_scan_dir(queue_fd, (enum store_state)s, bucket, 0, match, &w) == 1)
      return 0;
  return flight_find(queue_fd, id, n);
}

int store_open(int queue_fd, const struct store_name *n, int flags)
{
  char path[STORE_NAME_MAX];
  struct stat st;
  int fd;

  if (n->state == STORE_FLIGHT)
    return flight_open(queue_fd, n, flags);
  store_path(path, n);
  fd = openat(queue_fd, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) {
    if (errno == ELOOP || errno == EISDIR || errno == ENXIO)
      errno = EBADMSG; /* a link, a directory, a socket or FIFO: no message */
    return -1;
  }
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(fd);
    errno = EBADMSG;
    return -1;
  }
  return fd;
}

int store_move(int queue_fd, struct store_name *n, enum store_state s, uint32_t next, uint32_t hop)
{
  char from[STORE_NAME_MAX], to[STORE_NAME_MAX];
  struct store_name moved = *n;

  if (n->state == STORE_FLIGHT)
    return store_file(queue_fd, n, &(struct store_filing){.state = s, .next = next, .hop = hop});
  moved.state = s;
  moved.next = next;
  moved.hop = hop;
  store_path(from, n);
  store_path(to, &moved);
  if (strcmp(from, to) != 0 && renameat2(queue_fd, from, queue_fd, to, RENAME_NOREPLACE) != 0)
    return -1;
  *n = moved;
  return 0;
}

int store_place(int queue_fd, const struct store_name *n)
{
  char from[STORE_NAME_MAX], to[STORE_NAME_MAX];

  snprintf(from, sizeof from, "tmp/%.*s", STORE_ID_LEN, n->id);
  store_path(to, n);
  return renameat2(queue_fd, from, queue_fd, to, RENAME_NOREPLACE);
}

static int copy(int from, int to)
{
  char buf[16384];
  ssize_t n;

  for (off_t at = 0; (n = pread(from, buf, sizeof buf, at)) > 0; at += n)
    if (pwrite(to, buf, (size_t)n, at) != n)
      return -1;
  return n < 0 ? -1 : 0;
}

int store_rewrite(int queue_fd, const struct store_name *n)
{
  char path[STORE_NAME_MAX], tmp[STORE_NAME_MAX];
  int from = store_open(queue_fd, n, O_RDONLY), to = from < 0 ? -1 : store_create(queue_fd, n->id);
  int r = to < 0 ? -1 : copy(from, to), saved;

  store_path(path, n);
  snprintf(tmp, sizeof tmp, "tmp/%s", n->id);
  if (to >= 0 && close(to) != 0)
    r = -1;
  if (r == 0)
    r = renameat(queue_fd, tmp, queue_fd, path);
  saved = errno;
  if (to >= 0 && r != 0)
    store_abandon(queue_fd, n->id);
  if (from >= 0)
    close(from);
  errno = saved;
  return r;
}

int store_unlink(int queue_fd, const struct store_name *n)
{
  char path[STORE_NAME_MAX];

  store_path(path, n);
  return unlinkat(queue_fd, path, 0);
}

int store_remove(int queue_fd, const struct store_name *n)
{
  return flight_is_known(queue_fd, n->id) ? flight_over(queue_fd, n) : store_unlink(queue_fd, n);
}

int store_corrupt(int queue_fd, const struct store_name *n, const char *why)
{
  char path[STORE_NAME_MAX];

  if (n->state == STORE_FLIGHT)
    return flight_corrupt(queue_fd, n, why);
  store_path(path, n);
  return store_put_aside(queue_fd, path, why);
}

static void sweep_one(int queue_fd, const char *name)
{
  char path[STORE_NAME_MAX + 256];

  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return;
  snprintf(path, sizeof path, "tmp/%s", name);
  if (!store_is_id(name, strlen(name)))
    store_put_aside(queue_fd, path, "not the name of a message");
  else if (unlinkat(queue_fd, path, 0) == 0)
    log_swept(name, "never acknowledged");
  else
    store_put_aside(queue_fd, path, "not a file");
}

void store_sweep(int queue_fd)
{
  int fd = openat(queue_fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *d;

  if (!dir) {
    if (fd >= 0)
      close(fd);
    return;
  }
  while ((d = readdir(dir)))
    sweep_one(queue_fd, d->d_name);
  closedir(dir);
}
