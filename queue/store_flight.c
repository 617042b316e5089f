/* store_flight.c - messages in the journal, behind the store's interface
 *
 * Runs in the manager and in commands. Segments are read only; what ends a message there is
 * written by the intake, whom the manager tells (flight_keeper), or, while nothing runs, by
 * the command itself. */
#include "queue/store_flight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "common/write.h"
#include "queue/envelope.h"
#include "queue/history.h"
#include "queue/journal_read.h"
#include "queue/journal_ring.h"

static struct flights known;
static const struct flight_keeper *keeper; /* NULL: a command */

static void name_of(const struct flight *f, struct store_name *n)
{
  memset(n, 0, sizeof *n);
  memcpy(n->id, f->id, STORE_ID_LEN);
  n->state = STORE_FLIGHT;
}

/* ---- a command's own look */

static int queue_of_load;

static int mark_twin(void *arg, const struct store_name *n)
{
  (void)arg;
  if (flights_find(&known, n->id))
    flight_twin(queue_of_load, n);
  return 0;
}

/* a command reads the journal when it is first asked; the manager never does */
static void load(int queue_fd)
{
  static int is_loaded;
  struct journal_replay r = {.lost = NULL};

  if (keeper || is_loaded)
    return;
  is_loaded = 1;
  journal_replay(queue_fd, &r); /* what cannot be read is not seen */
  known = r.live;
  queue_of_load = queue_fd;
  for (int s = 0; known.count > 0 && s < STORE_DIRS; s++)
    store_scan(queue_fd, (enum store_state)s, 0, mark_twin, NULL);
}

static struct flight *find(int queue_fd, const char *id)
{
  load(queue_fd);
  return flights_find(&known, id);
}

/* ---- for store.c */

int flight_scan(int queue_fd, int (*f)(void *arg, const struct store_name *n), void *arg)
{
  struct store_name *name;
  uint32_t at = 0, n = 0;
  int r = 0;

  load(queue_fd);
  name = reallocarray(NULL, known.count + 1, sizeof *name); /* f may change the table */
  if (!name)
    return -1;
  while (flight_next(&at, ~0U, &name[n]))
    n++;
  for (uint32_t i = 0; i < n && r <= 0; i++)
    r = f(arg, &name[i]);
  free(name);
  return r > 0 ? r : 0;
}

int flight_find(int queue_fd, const char *id, struct store_name *n)
{
  const struct flight *f = find(queue_fd, id);

  errno = ENOENT;
  if (!f || f->state != FLIGHT_LIVE)
    return -1;
  name_of(f, n);
  return 0;
}

int flight_is_known(int queue_fd, const char *id)
{
  return find(queue_fd, id) != NULL;
}

/* the message's image, good until the next call; its length, or -1 with errno */
static ssize_t load_image(int queue_fd, const struct store_name *n, const char **image)
{
  const struct flight *f = find(queue_fd, n->id);

  errno = ENOENT;
  return f && journal_load(queue_fd, f, image) == 0 ? (ssize_t)f->len : -1;
}

int flight_open(int queue_fd, const struct store_name *n, int flags)
{
  const char *image;
  ssize_t len;
  int fd, saved;

  errno = EROFS;
  if ((flags & O_ACCMODE) != O_RDONLY || (len = load_image(queue_fd, n, &image)) < 0)
    return -1;
  fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd >= 0 && write_all(fd, image, (size_t)len) == 0 &&
      fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    return fd;
  saved = errno;
  if (fd >= 0)
    close(fd);
  errno = saved;
  return -1;
}

int store_read(int queue_fd, const struct store_name *n, int is_unverified, struct envelope *e,
               const char **why)
{
  const char *image;
  ssize_t len;
  int fd, r, saved;

  *why = "cannot be read";
  if (n->state == STORE_FLIGHT) { /* proved by its record, always */
    len = load_image(queue_fd, n, &image);
    *why = "its record in the journal is damaged";
    r = len < 0 ? -1 : envelope_parse(image, (size_t)len, e, why);
  } else {
    fd = store_open(queue_fd, n, O_RDONLY);
    r = fd < 0 ? -1 : envelope_read(fd, e, why);
    if (r == 0 && is_unverified && (r = envelope_verify(fd, e, why)) != 0) {
      saved = errno;
      envelope_free(e);
      errno = saved;
    }
    if (fd >= 0) {
      saved = errno;
      close(fd);
      errno = saved;
    }
  }
  if (r == 0 && strcmp(e->id, n->id) != 0) {
    *why = "its id is not its name's";
    envelope_free(e);
    errno = EBADMSG;
    r = -1;
  }
  return r;
}

/* ---- from record to file */

/* writes tmp/ID. 0, or -1 with errno */
static int write_file(int queue_fd, const char *id, const char *image, size_t len,
                      const struct store_filing *f)
{
  int fd = store_create(queue_fd, id), r, saved;

  if (fd < 0 && errno == EEXIST) { /* an earlier run of ours was killed over it */
    store_abandon(queue_fd, id);
    fd = store_create(queue_fd, id);
  }
  if (fd < 0)
    return -1;
  r = write_all(fd, image, len);
  if (r == 0 && f->history && f->history->len > 0)
    history_append(fd, f->e, f->history); /* only the story */
  saved = errno;
  if (close(fd) != 0) {
    saved = errno;
    r = -1;
  }
  errno = saved;
  return r;
}

/* a command makes it durable by itself, and ends its record */
static int settle_file(int queue_fd, const struct store_name *n)
{
  char dir[STORE_NAME_MAX];
  int fd = store_open(queue_fd, n, O_RDONLY), r = fd < 0 ? -1 : fsync(fd);

  if (fd >= 0)
    close(fd);
  snprintf(dir, sizeof dir, "%s/%s", store_state_word(n->state), n->id + 13);
  return r == 0 && store_flush_dir(queue_fd, dir) == 0 ? ring_note_now(queue_fd, JOURNAL_FILED, n->id)
                                                       : -1;
}

int store_file(int queue_fd, struct store_name *n, const struct store_filing *f)
{
  struct store_name to = *n;
  const char *image;
  ssize_t len = load_image(queue_fd, n, &image);
  char *copy = (char *)(uintptr_t)image; /* the buffer is ours until the next call */
  int saved;

  if (len < 0)
    return -1;
  if (f->e)
    envelope_mark_all(copy, f->e);
  to.state = f->state;
  to.next = f->next;
  to.hop = f->hop;
  if (write_file(queue_fd, n->id, copy, (size_t)len, f) != 0 || store_place(queue_fd, &to) != 0) {
    saved = errno;
    store_abandon(queue_fd, n->id);
    errno = saved;
    return -1;
  }
  *n = to;
  flights_find(&known, n->id)->state = FLIGHT_FILED;
  if (keeper)
    keeper->filed(n);
  else if (settle_file(queue_fd, n) == 0) /* else its file counts all the same */
    flights_drop(&known, flights_find(&known, n->id));
  return 0;
}

/* ---- the end */

/* all its recipients are done, says its file, so that a restart does not begin again */
static void finish_file(int queue_fd, const struct store_name *n)
{
  int fd = store_open(queue_fd, n, O_RDWR);
  struct envelope e;
  const char *why;

  if (fd < 0)
    return;
  if (envelope_read(fd, &e, &why) == 0) {
    for (size_t i = 0; i < e.nrcpt; i++)
      if (!envelope_is_closed(e.rcpt[i].status)) {
        e.rcpt[i].status = RCPT_DONE;
        envelope_mark(fd, &e, i); /* what cannot be written may be delivered again, no more */
      }
    envelope_free(&e);
  }
  close(fd);
}

int flight_over(int queue_fd, const struct store_name *n)
{
  struct flight *f = find(queue_fd, n->id);

  if (n->state != STORE_FLIGHT)
    finish_file(queue_fd, n);
  if (keeper ? keeper->over(n) != 0 : ring_note_now(queue_fd, JOURNAL_DONE, n->id) != 0)
    return -1;
  f->state = FLIGHT_OVER;
  if (keeper)
    return 0;
  flights_drop(&known, f);
  return n->state == STORE_FLIGHT ? 0 : store_unlink(queue_fd, n);
}

/* what the segment has where f lies, read into raw; how many bytes, or -1 with errno */
static ssize_t read_raw(int queue_fd, const struct flight *f, char *raw)
{
  int fd = journal_open(queue_fd, f->segment, O_RDONLY), saved;
  ssize_t got = fd < 0 ? -1 : pread(fd, raw, f->len, f->at + JOURNAL_RECORD);

  saved = errno;
  if (fd >= 0)
    close(fd);
  errno = saved;
  return got;
}

/* a copy in corrupt/, whole or not at all. 0, or -1 with errno */
static int put_copy_aside(int queue_fd, const char *path, const char *image, size_t len)
{
  int fd = openat(queue_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r, saved;

  if (fd < 0)
    return -1;
  r = write_all(fd, image, len) == 0 && fsync(fd) == 0 ? 0 : -1;
  saved = errno;
  close(fd);
  if (r != 0)
    unlinkat(queue_fd, path, 0); /* it is tried again */
  errno = saved;
  return r;
}

/* what there is of it goes to corrupt/, and the journal forgets it */
int flight_corrupt(int queue_fd, const struct store_name *n, const char *why)
{
  const struct flight *f = find(queue_fd, n->id);
  char path[STORE_NAME_MAX], *raw = f ? malloc(f->len) : NULL;
  const char *image = raw;
  ssize_t len = raw ? load_image(queue_fd, n, &image) : -1;
  int r, saved;

  if (raw && len < 0) {
    image = raw;
    len = read_raw(queue_fd, f, raw);
  }
  snprintf(path, sizeof path, "corrupt/%s", n->id);
  r = len < 0 ? -1 : put_copy_aside(queue_fd, path, image, (size_t)len);
  saved = errno;
  log_corrupt("journal", why, r == 0 ? path : strerror(saved));
  free(raw);
  if (r == 0 && (r = flight_over(queue_fd, n)) != 0) {
    saved = errno;
    unlinkat(queue_fd, path, 0); /* it is tried again */
  }
  errno = saved;
  return r;
}

/* ---- for the manager */

void flight_keep(const struct flight_keeper *k)
{
  keeper = k;
}

int flight_committed(const struct flight *f)
{
  if (flights_find(&known, f->id))
    return 1;
  return flights_add(&known, f) ? 0 : -1;
}

int flight_replay(int queue_fd, int (*found)(const struct store_name *n),
                  void (*done)(const char *id))
{
  struct journal_replay r = {.done = done};
  int result = journal_replay(queue_fd, &r);
  uint32_t at = 0;
  struct flight *f;

  while ((f = flights_next(&r.live, &at))) {
    struct store_name n;
    int is_fresh = flight_committed(f);
    name_of(f, &n);
    if (is_fresh < 0)
      result = -1;
    else if (is_fresh == 0 && !found(&n))
      flights_drop(&known, flights_find(&known, n.id));
  }
  flights_free(&r.live);
  return result;
}

int flight_twin(int queue_fd, const struct store_name *file)
{
  struct envelope e;
  const char *why;

  if (store_read(queue_fd, file, 1, &e, &why) == 0) {
    envelope_free(&e);
    flights_find(&known, file->id)->state = FLIGHT_FILED;
    if (keeper)
      keeper->filed(file);
    return 1;
  }
  if (errno != EBADMSG)
    return -1;
  if (keeper && store_unlink(queue_fd, file) == 0)
    log_swept(file->id, "torn; the journal has it whole");
  return 0;
}

int flight_is_over(const char *id)
{
  const struct flight *f = flights_find(&known, id);

  return f && f->state == FLIGHT_OVER;
}

int flight_is_filed(const char *id)
{
  struct flight *f = flights_find(&known, id);

  if (!f || f->state != FLIGHT_FILED)
    return 0;
  f->state = FLIGHT_TOLD;
  return 1;
}

void flight_settled(const char *id, enum journal_type note)
{
  struct flight *f = flights_find(&known, id);

  if (f && f->state == (note == JOURNAL_DONE ? FLIGHT_OVER : FLIGHT_TOLD))
    flights_drop(&known, f);
}

int flight_next(uint32_t *at, unsigned int segments, struct store_name *n)
{
  const struct flight *f;

  while ((f = flights_next(&known, at)))
    if (f->state == FLIGHT_LIVE && (segments & 1U << f->segment)) {
      name_of(f, n);
      return 1;
    }
  return 0;
}
