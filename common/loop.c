/* loop.c - the event loop of every program: libowfat's io_* plus timers
 *
 * libowfat keeps a deadline per descriptor but finds the late ones by walking all
 * descriptors; ten thousand sessions need a heap. */
#include "common/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <io.h>

static struct loop_timer **heap; /* bound: one per armed timer */
static size_t heap_len, heap_room;
static uint64_t now_ms;
static int ended;
static void (*after_turn)(void);

static void read_clock(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  now_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t loop_now(void)
{
  if (now_ms == 0)
    read_clock();
  return now_ms;
}

int loop_add(int fd, struct loop_handler *h)
{
  if (fd < 0) { /* libowfat would make room for it without end */
    errno = EBADF;
    return -1;
  }
  io_nonblock(fd);
  if (!io_fd_flags(fd, IO_FD_NONBLOCK)) {
    errno = ENOMEM;
    return -1;
  }
  io_setcookie(fd, h);
  return 0;
}

void loop_want(int fd, int events)
{
  if (events & LOOP_READ)
    io_wantread(fd);
  else
    io_dontwantread(fd);
  if (events & LOOP_WRITE)
    io_wantwrite(fd);
  else
    io_dontwantwrite(fd);
}

void loop_drained(int fd, int event)
{
  if (event == LOOP_READ)
    io_eagain_read(fd);
  else
    io_eagain_write(fd);
}

static int is_same_file(int fd, const struct stat *before)
{
  struct stat st;

  return fstat(fd, &st) == 0 && st.st_dev == before->st_dev && st.st_ino == before->st_ino;
}

/* libowfat 0.32 puts off closing what stands in one of its lists and may never come to it (its
 * list of those is another one than the list it works off). Made anew, the descriptor stands in
 * no list and is closed at once; whatever else stood behind it was served, since gather() empties
 * the lists of what is ready before handlers run. */
void loop_close(int fd)
{
  struct stat before;
  int is_known = fstat(fd, &before) == 0;

  io_setcookie(fd, NULL);
  io_close(fd);
  if (is_known && is_same_file(fd, &before)) { /* not another thread's that got its number */
    io_fd(fd);
    io_close(fd);
  }
}

/* ---- timers: a binary heap by deadline */

static void put(size_t i, struct loop_timer *t)
{
  heap[i] = t;
  t->place = i + 1;
}

static void sift_up(size_t i, struct loop_timer *t)
{
  while (i > 0 && heap[(i - 1) / 2]->at > t->at) {
    put(i, heap[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
  put(i, t);
}

static void sift_down(size_t i, struct loop_timer *t)
{
  for (;;) {
    size_t c = 2 * i + 1;
    if (c >= heap_len)
      break;
    if (c + 1 < heap_len && heap[c + 1]->at < heap[c]->at)
      c++;
    if (heap[c]->at >= t->at)
      break;
    put(i, heap[c]);
    i = c;
  }
  put(i, t);
}

void loop_timer_stop(struct loop_timer *t)
{
  size_t i;
  struct loop_timer *last;

  if (t->place == 0)
    return;
  i = t->place - 1;
  t->place = 0;
  last = heap[--heap_len];
  if (last == t)
    return;
  if (i > 0 && heap[(i - 1) / 2]->at > last->at)
    sift_up(i, last);
  else
    sift_down(i, last);
}

int loop_timer_in(struct loop_timer *t, uint64_t ms)
{
  loop_timer_stop(t);
  if (heap_len == heap_room) {
    size_t room = heap_room ? heap_room * 2 : 64;
    struct loop_timer **bigger = reallocarray(heap, room, sizeof *heap);
    if (!bigger)
      return -1;
    heap = bigger;
    heap_room = room;
  }
  t->at = loop_now() + ms;
  sift_up(heap_len++, t);
  return 0;
}

static void fire_due(void)
{
  /* at most as many as were armed: one that rearms itself at once waits for the next turn */
  for (size_t n = heap_len; n > 0 && heap_len > 0 && heap[0]->at <= now_ms; n--) {
    struct loop_timer *t = heap[0];
    loop_timer_stop(t);
    t->fire(t);
  }
}

/* ---- the loop */

static int64 until_next(void)
{
  if (heap_len == 0)
    return 3600 * 1000;
  if (heap[0]->at <= now_ms)
    return 0;
  return heap[0]->at - now_ms > 3600 * 1000 ? 3600 * 1000 : (int64)(heap[0]->at - now_ms);
}

/* what is ready this turn; bound: what one wait reports (libowfat: 100) and what was left. It is
 * taken off libowfat's lists before a handler runs, see loop_close(). */
static struct ready {
  struct loop_handler *handler;
  int fd, event;
} *batch;
static size_t batch_len, batch_room;

static int add_ready(int fd, int event)
{
  if (batch_len == batch_room) {
    size_t room = batch_room ? batch_room * 2 : 128;
    struct ready *bigger = reallocarray(batch, room, sizeof *batch);
    if (!bigger)
      return -1;
    batch = bigger;
    batch_room = room;
  }
  batch[batch_len++] = (struct ready){io_getcookie(fd), fd, event};
  return 0;
}

static void gather(void)
{
  int64 fd;

  batch_len = 0;
  while ((fd = io_canread()) != -1 && add_ready((int)fd, LOOP_READ) == 0)
    ;
  while ((fd = io_canwrite()) != -1 && add_ready((int)fd, LOOP_WRITE) == 0)
    ;
}

/* what is not served now is ready again in the next turn */
static void serve(void)
{
  for (size_t i = 0; i < batch_len && !ended; i++) {
    struct ready *r = &batch[i];
    if (r->handler && io_getcookie(r->fd) == r->handler) /* else closed by an earlier one */
      r->handler->ready(r->handler, r->fd, r->event);
  }
}

void loop_run(void)
{
  ended = 0;
  read_clock();
  while (!ended) {
    fire_due();
    if (after_turn)
      after_turn();
    if (ended)
      break;
    io_waituntil2(until_next());
    read_clock();
    gather();
    serve();
  }
}

void loop_end(void)
{
  ended = 1;
}

void loop_after_turn(void (*f)(void))
{
  after_turn = f;
}
