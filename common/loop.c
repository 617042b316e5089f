/* loop.c - the event loop of every program: epoll plus timers
 *
 * Not libowfat's io_* loop: that of version 0.32 (Debian) loses count of what is wanted when a
 * descriptor is paused, and then waits without asking the kernel; what it closes outside a
 * handler may stay open for good; and late timers are found by walking all descriptors, where
 * ten thousand sessions need a heap. */
#include "common/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256       /* then timers and after_turn get their go */
#define LONGEST_WAIT (3600 * 1000)

static struct entry {
  struct loop_handler *handler; /* NULL: not in the loop */
  int wanted;
} *entry; /* by descriptor; bound: the highest one */
static size_t entries;
static int epoll = -1;

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

/* ---- descriptors */

static int grow_entries(size_t need)
{
  size_t many = entries ? entries : 64;
  struct entry *bigger;

  while (many < need)
    many *= 2;
  bigger = reallocarray(entry, many, sizeof *entry);
  if (!bigger)
    return -1;
  memset(bigger + entries, 0, (many - entries) * sizeof *bigger);
  entry = bigger;
  entries = many;
  return 0;
}

/* tells the kernel what is wanted. A hang-up is reported always: once only (EPOLLET) while
 * nothing is wanted, so that a paused reader does not make the loop spin. */
static int apply(int op, int fd)
{
  int wanted = entry[fd].wanted;
  struct epoll_event e = {.data.fd = fd,
                          .events = (wanted & LOOP_READ ? (uint32_t)EPOLLIN : 0) |
                                    (wanted & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0) |
                                    (wanted ? 0 : (uint32_t)EPOLLET)};

  return epoll_ctl(epoll, op, fd, &e);
}

int loop_add(int fd, struct loop_handler *h)
{
  int flags = fcntl(fd, F_GETFL);

  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return -1;
  if (epoll < 0 && (epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
    return -1;
  if ((size_t)fd >= entries && grow_entries((size_t)fd + 1) != 0)
    return -1;
  entry[fd] = (struct entry){h, 0};
  if (apply(EPOLL_CTL_ADD, fd) != 0) {
    entry[fd].handler = NULL;
    return -1;
  }
  return 0;
}

void loop_want(int fd, int events)
{
  if (fd < 0 || (size_t)fd >= entries || !entry[fd].handler || entry[fd].wanted == events)
    return;
  entry[fd].wanted = events;
  apply(EPOLL_CTL_MOD, fd); /* cannot fail: it was added */
}

void loop_drained(int fd, int event)
{
  (void)fd; /* the kernel says again when there is more */
  (void)event;
}

void loop_close(int fd)
{
  if ((size_t)fd < entries && entry[fd].handler) {
    entry[fd] = (struct entry){NULL, 0};
    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); /* another process may still hold the file open */
  }
  close(fd);
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

static int until_next(void)
{
  if (heap_len == 0 || heap[0]->at > now_ms + LONGEST_WAIT)
    return LONGEST_WAIT;
  return heap[0]->at <= now_ms ? 0 : (int)(heap[0]->at - now_ms);
}

/* hands one event to its handler, if that is still there and wants it */
static void hand(int fd, struct loop_handler *h, int event)
{
  if (!ended && h && entry[fd].handler == h && (entry[fd].wanted & event))
    h->ready(h, fd, event);
}

/* what is not served now is reported again in the next turn */
static void serve(int timeout)
{
  struct epoll_event e[EVENTS_PER_TURN];
  struct loop_handler *h[EVENTS_PER_TURN];
  int n = epoll < 0 ? poll(NULL, 0, timeout) : epoll_wait(epoll, e, EVENTS_PER_TURN, timeout);

  read_clock();
  for (int i = 0; i < n; i++) /* a number that is closed and given anew has another handler */
    h[i] = entry[e[i].data.fd].handler;
  for (int i = 0; i < n; i++) {
    int gone = (e[i].events & (EPOLLHUP | EPOLLERR)) != 0;
    if (gone || (e[i].events & EPOLLIN))
      hand(e[i].data.fd, h[i], LOOP_READ);
    if (gone || (e[i].events & EPOLLOUT))
      hand(e[i].data.fd, h[i], LOOP_WRITE);
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
    if (!ended)
      serve(until_next());
  }
  if (after_turn)
    after_turn(); /* the last turn's too */
}

void loop_end(void)
{
  ended = 1;
}

void loop_after_turn(void (*f)(void))
{
  after_turn = f;
}
