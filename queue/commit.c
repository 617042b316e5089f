/* commit.c - complete messages become durable, a group at a time
 *
 * Runs in heloise-intake. The second thread touches only the messages of its group and the
 * ring (journal_ring.h). */
#include "queue/commit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "common/aside.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/write.h"
#include "queue/envelope.h"
#include "queue/incoming.h"
#include "queue/journal_ring.h"
#include "queue/store.h"

#define GROUP_MAX 512
#define NOTES_FLUSHED_MS 900

static int queue_fd;
static void (*tell_all)(const struct incoming *in);
static void (*tell_ended)(struct incoming *in);
static struct incoming *gathering, *gathering_last;
static struct loop_handler bell_handler;
static struct loop_timer flush_timer;
static int bell, is_ending;

/* handed to the thread and back */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  struct incoming *todo, *done;
  int busy;           /* with a group */
  unsigned int wants; /* enum ring_need */
} thread = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL, 0, 0};

/* ---- the thread: files */

/* the image of a message's queue file, while it is in memory */
static void image_of(const struct incoming *in, struct iovec v[RING_PIECES])
{
  v[0] = (struct iovec){in->head.s, in->head.len};
  v[1] = (struct iovec){in->body.s, in->body.len};
  v[2] = (struct iovec){(void *)(uintptr_t)ENVELOPE_END, strlen(ENVELOPE_END)};
}

/* completes the file: all of it, or head line and end mark. 0, or the errno. */
static int complete(struct incoming *in)
{
  struct iovec v[RING_PIECES];

  image_of(in, v);
  if (in->fd < 0) {
    in->fd = store_create(queue_fd, in->id);
    return in->fd < 0 || write_pieces(in->fd, v, RING_PIECES, WRITE_HERE) != 0 ? errno : 0;
  }
  errno = ENOSPC; /* what a short write means */
  if (pwrite(in->fd, in->head.s, ENVELOPE_HEAD, 0) != ENVELOPE_HEAD)
    return errno;
  return write_pieces(in->fd, &v[2], 1, WRITE_HERE) != 0 ? errno : 0;
}

static void commit_files(struct incoming *const *file, size_t files)
{
  static struct store_commit c[GROUP_MAX];
  static struct incoming *of[GROUP_MAX];
  size_t n = 0;

  for (size_t i = 0; i < files; i++) {
    struct incoming *in = file[i];
    in->error = complete(in);
    if (in->error == 0) {
      of[n] = in;
      c[n++] = (struct store_commit){in->id, in->fd, 0};
    } else if (in->fd >= 0) {
      store_abandon(queue_fd, in->id);
    }
  }
  store_commit(queue_fd, c, n);
  for (size_t i = 0; i < n; i++)
    of[i]->error = c[i].error;
}

/* ---- the thread: groups */

static int is_for_journal(const struct incoming *in)
{
  return in->fd < 0 && ring_takes(in->head.len + in->body.len + strlen(ENVELOPE_END));
}

/* what the journal has no room for becomes files at once */
static void commit_group(struct incoming *list)
{
  static struct ring_message m[GROUP_MAX];
  static struct incoming *of[GROUP_MAX], *file[GROUP_MAX];
  size_t n = 0, files = 0;

  for (struct incoming *in = list; in; in = in->next)
    if (is_for_journal(in)) {
      m[n].id = in->id;
      image_of(in, m[n].piece);
      of[n++] = in;
    } else {
      file[files++] = in;
    }
  ring_write(m, n);
  for (size_t i = 0; i < n; i++) {
    of[i]->is_journaled = m[i].error != RING_FULL;
    of[i]->error = m[i].error;
    of[i]->place = m[i].place;
    if (!of[i]->is_journaled)
      file[files++] = of[i];
  }
  commit_files(file, files);
}

static void *committer(void *arg)
{
  pthread_mutex_lock(&thread.lock);
  for (;;) {
    struct incoming *group;
    unsigned int wants;
    while (!thread.todo && !thread.wants)
      pthread_cond_wait(&thread.wake, &thread.lock);
    group = thread.todo;
    wants = thread.wants;
    thread.todo = NULL;
    thread.wants = 0;
    pthread_mutex_unlock(&thread.lock);
    if (group)
      commit_group(group);
    if (wants & RING_FLUSH)
      ring_flush();
    pthread_mutex_lock(&thread.lock);
    if (group)
      thread.done = group;
    aside_ring(bell);
    pthread_mutex_unlock(&thread.lock);
    if (wants & RING_TEND) {
      ring_tend();
      aside_ring(bell);
    }
    pthread_mutex_lock(&thread.lock);
  }
  return arg;
}

/* ---- groups, as the loop sees them */

/* gives the thread what was gathered, at most GROUP_MAX messages of it, if it is free */
static void next_group(void)
{
  struct incoming *last = gathering;

  if (!gathering || thread.busy)
    return;
  for (size_t i = 1; i < GROUP_MAX && last->next; i++)
    last = last->next;
  pthread_mutex_lock(&thread.lock);
  thread.todo = gathering;
  thread.busy = 1;
  gathering = last->next;
  last->next = NULL;
  pthread_cond_signal(&thread.wake);
  pthread_mutex_unlock(&thread.lock);
  if (!gathering)
    gathering_last = NULL;
}

static void on_bell(struct loop_handler *h, int fd, int events)
{
  struct incoming *list;

  (void)h;
  (void)events;
  if (!aside_was_rung(fd))
    return;
  pthread_mutex_lock(&thread.lock);
  list = thread.done;
  thread.done = NULL;
  if (list)
    thread.busy = 0;
  pthread_mutex_unlock(&thread.lock);
  next_group(); /* first keep the disk busy, then tell the news */
  for (const struct incoming *in = list; in; in = in->next)
    tell_all(in);
  while (list) {
    struct incoming *in = list;
    list = in->next;
    if (in->error && in->is_journaled) /* whole on disk it may be all the same */
      ring_note(JOURNAL_DONE, in->id, 0);
    tell_ended(in);
  }
}

void commit_add(struct incoming *in)
{
  in->next = NULL;
  if (gathering_last)
    gathering_last->next = in;
  else
    gathering = in;
  gathering_last = in;
}

static void want(unsigned int what)
{
  pthread_mutex_lock(&thread.lock);
  thread.wants |= what;
  pthread_cond_signal(&thread.wake);
  pthread_mutex_unlock(&thread.lock);
}

static void on_flush_timer(struct loop_timer *t)
{
  (void)t;
  want(RING_FLUSH);
}

void commit_turn(void)
{
  unsigned int need;

  next_group();
  need = ring_turn();
  if (need & RING_TEND)
    want(RING_TEND);
  if ((need & RING_FLUSH) && is_ending)
    want(RING_FLUSH);
  else if ((need & RING_FLUSH) && flush_timer.place == 0)
    loop_timer_in(&flush_timer, NOTES_FLUSHED_MS);
}

int commit_end(void)
{
  is_ending = 1;
  commit_turn();
  return ring_is_durable();
}

int commit_start(int fd, void (*announce)(const struct incoming *in),
                 void (*ended)(struct incoming *in))
{
  queue_fd = fd;
  tell_all = announce;
  tell_ended = ended;
  if (ring_open(fd) != 0)
    log_failed("intake", "journal", strerror(errno)); /* each message is a file, then */
  bell_handler.ready = on_bell;
  flush_timer.fire = on_flush_timer;
  loop_after_turn(commit_turn);
  return aside_start(committer, 256 * 1024, &bell_handler, &bell);
}
