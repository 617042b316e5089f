/* flush.c - what changes in the directories reaches the disk within a second
 *
 * Runs in the manager. The thread touches nothing but what was handed to it: bits for
 * directories, and descriptors of files that left the journal. */
#include "queue/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/aside.h"
#include "common/log.h"
#include "common/loop.h"
#include "queue/waiting.h"

#define DELAY_MS 900
#define AT_ONCE 128  /* files in one batch */
#define BEHIND 1000
#define AGAIN_MS 10000 /* a file that could not be flushed is written anew */

/* a message that became a file, on its way to the disk */
struct filed {
  char id[STORE_ID_LEN + 1];
  int fd; /* -1: it is gone already */
  int error;
};

static int queue_fd = -1, bell = -1;
static void (*tell_filed)(const char *id);
static struct loop_timer timer, again_timer;
static struct loop_handler bell_handler;
static uint64_t dirty[STORE_DIRS]; /* a bit per directory */

static char (*waits)[STORE_ID_LEN + 1]; /* files not yet handed over, from `first` on; bound: the
                                           messages in the journal */
static size_t first, count, room;
static char (*failed)[STORE_ID_LEN + 1]; /* their flush failed */
static size_t failures, failed_room;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  uint64_t dirty[STORE_DIRS];
  struct filed file[AT_ONCE];
  size_t files;
  int is_wanted, is_busy; /* busy: from hand-over until the loop has the batch back */
} thread = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, {{"", 0, 0}}, 0, 0, 0};

/* ---- the thread */

static void flush_files(struct filed *file, size_t n)
{
  /* start all writes, so that the first flush's commit holds the whole batch */
  for (size_t i = 0; n > 1 && i < n; i++)
    if (file[i].fd >= 0)
      sync_file_range(file[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  for (size_t i = 0; i < n; i++)
    if (file[i].fd >= 0)
      file[i].error = fdatasync(file[i].fd) != 0 ? errno : 0;
}

static void *flusher(void *arg)
{
  uint64_t mine[STORE_DIRS];

  pthread_mutex_lock(&thread.lock);
  for (;;) {
    int failed_dirs = 0;
    while (!thread.is_wanted)
      pthread_cond_wait(&thread.wake, &thread.lock);
    memcpy(mine, thread.dirty, sizeof mine);
    memset(thread.dirty, 0, sizeof thread.dirty);
    thread.is_wanted = 0;
    pthread_mutex_unlock(&thread.lock);
    flush_files(thread.file, thread.files);
    for (int s = 0; s < STORE_DIRS; s++)
      failed_dirs |= store_flush(queue_fd, (enum store_state)s, mine[s]) != 0;
    pthread_mutex_lock(&thread.lock);
    for (size_t i = 0; failed_dirs && i < thread.files; i++)
      thread.file[i].error = EIO;
    aside_ring(bell);
  }
  return arg;
}

/* ---- the loop's side */

static int add(char (**list)[STORE_ID_LEN + 1], size_t *n, size_t *has, const char *id)
{
  if (*n == *has) {
    size_t more = *has ? *has * 2 : 256;
    char(*bigger)[STORE_ID_LEN + 1] = reallocarray(*list, more, sizeof **list);
    if (!bigger)
      return -1;
    *list = bigger;
    *has = more;
  }
  memcpy((*list)[(*n)++], id, STORE_ID_LEN + 1);
  return 0;
}

/* where a message's file is now; 0: it has none */
static int name_now(const char *id, struct store_name *n)
{
  uint32_t h = waiting_find(id);

  if (h == WAITING_NONE)
    return 0;
  waiting_name(h, n);
  return n->state < STORE_DIRS;
}

/* with the lock held: the thread's next batch of files */
static void fill_batch(void)
{
  for (thread.files = 0; first < count && thread.files < AT_ONCE; first++) {
    struct filed *f = &thread.file[thread.files];
    struct store_name n;
    if (!name_now(waits[first], &n))
      continue; /* it has left the queue */
    memcpy(f->id, waits[first], sizeof f->id);
    f->error = 0;
    f->fd = store_open(queue_fd, &n, O_RDONLY);
    if (f->fd < 0)
      f->error = errno;
    thread.dirty[n.state] |= store_bucket_bit(&n);
    thread.files++;
  }
  memmove(waits, waits + first, (count - first) * sizeof *waits);
  count -= first;
  first = 0;
}

static int is_dirty(void)
{
  for (int s = 0; s < STORE_DIRS; s++)
    if (dirty[s])
      return 1;
  return 0;
}

static void hand_over(void)
{
  pthread_mutex_lock(&thread.lock);
  if (!thread.is_busy) {
    for (int s = 0; s < STORE_DIRS; s++) {
      thread.dirty[s] |= dirty[s];
      dirty[s] = 0;
    }
    fill_batch();
    thread.is_wanted = thread.is_busy = 1;
    pthread_cond_signal(&thread.wake);
  }
  pthread_mutex_unlock(&thread.lock);
}

static void on_timer(struct loop_timer *t)
{
  (void)t;
  if (is_dirty() || first < count)
    hand_over();
}

/* nobody has it open for marks */
static int is_at_rest(const char *id)
{
  return !waiting_at(waiting_find(id))->is_active;
}

/* a flush that failed is not tried again and believed: the file is written anew */
static void on_again(struct loop_timer *t)
{
  size_t n = failures;

  (void)t;
  failures = 0;
  for (size_t i = 0; i < n; i++) {
    struct store_name name;
    if (!name_now(failed[i], &name))
      continue;
    if (is_at_rest(failed[i]) && store_rewrite(queue_fd, &name) == 0)
      flush_filed(&name);
    else
      add(&failed, &failures, &failed_room, failed[i]); /* not beyond i */
  }
  if (failures > 0)
    loop_timer_in(&again_timer, AGAIN_MS);
}

static void on_failed(const struct filed *f)
{
  log_failed("queue", f->id, strerror(f->error));
  if (f->error != ENOENT && add(&failed, &failures, &failed_room, f->id) == 0 &&
      again_timer.place == 0)
    loop_timer_in(&again_timer, AGAIN_MS);
}

static void on_bell(struct loop_handler *h, int fd, int events)
{
  static struct filed done[AT_ONCE];
  size_t files;

  (void)h;
  (void)events;
  if (!aside_was_rung(fd))
    return;
  pthread_mutex_lock(&thread.lock);
  files = thread.files;
  memcpy(done, thread.file, files * sizeof *done);
  thread.files = 0;
  thread.is_busy = 0;
  pthread_mutex_unlock(&thread.lock);
  for (size_t i = 0; i < files; i++) {
    if (done[i].fd >= 0)
      close(done[i].fd);
    if (done[i].error)
      on_failed(&done[i]);
    else
      tell_filed(done[i].id);
  }
  if (first < count)
    hand_over();
  else if (is_dirty() && timer.place == 0)
    loop_timer_in(&timer, DELAY_MS);
}

int flush_start(int fd, void (*filed)(const char *id))
{
  queue_fd = fd;
  tell_filed = filed;
  timer.fire = on_timer;
  again_timer.fire = on_again;
  bell_handler.ready = on_bell;
  return aside_start(flusher, 128 * 1024, &bell_handler, &bell);
}

void flush_soon(const struct store_name *n)
{
  if (n->state >= STORE_DIRS)
    return;
  dirty[n->state] |= store_bucket_bit(n);
  if (timer.place == 0)
    loop_timer_in(&timer, DELAY_MS);
}

void flush_filed(const struct store_name *n)
{
  if (add(&waits, &count, &room, n->id) != 0)
    log_failed("queue", n->id, "out of memory; the journal keeps it until the next start");
  else if (timer.place == 0 || timer.at > loop_now())
    loop_timer_in(&timer, 0); /* when the turn's are together */
}

int flush_is_behind(void)
{
  return count - first > BEHIND;
}

int flush_end(void)
{
  int is_busy;

  if (is_dirty() || first < count)
    hand_over();
  pthread_mutex_lock(&thread.lock);
  is_busy = thread.is_busy;
  pthread_mutex_unlock(&thread.lock);
  return is_busy || is_dirty() || first < count;
}
