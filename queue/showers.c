/* showers.c - children of the manager that answer for it
 *
 * What only looks, and what takes an archive in, has a child for itself, so that a slow reader or a
 * large queue holds up no mail. A child sees the queue as the manager knew it when it was made. */
#include "queue/showers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/program.h"
#include "queue/act.h"
#include "queue/clock.h"
#include "queue/import.h"
#include "queue/inspect.h"
#include "queue/line.h"
#include "queue/recovery.h"
#include "queue/waiting.h"
#include "queue/work.h"

#define GUESTS_MAX 4 /* children at once for users who may not do more */
#define GUEST_MAX 2  /* for one of them */
#define GUEST_S 600  /* then one who does not read is not answered any more */
#define TEXT_MAX 32000
#define TEXT_MS 200     /* so long what is printed may be kept back */
#define PROGRESS_MS 200
#define GUEST_NICE 10

/* a child that shows something, or takes an archive in */
struct shower {
  struct loop_handler handler; /* first */
  pid_t pid;
  uid_t *guest; /* in guests; NULL: it is for somebody who may do all */
};

/* names of messages that a child has taken in come by this pipe */
struct arrivals {
  struct loop_handler handler; /* first */
};

static int queue_fd = -1;
static uid_t guests[GUESTS_MAX]; /* who has children; 0: nobody, for root is no guest */

void showers_open(int fd)
{
  queue_fd = fd;
}

/* ---- what looks: in a child */

static void look_at(uint32_t h, struct inspect_message *m)
{
  const struct waiting *w = waiting_at(h);

  *m = (struct inspect_message){.is_active = 0};
  waiting_name(h, &m->name);
  m->is_active = w->is_active;
  m->due = w->due == WAITING_NEVER ? w->due : (uint32_t)clock_to_wall(w->due);
  if (w->line == LINE_DUE || w->line == LINE_NEW)
    m->due = w->next; /* it came, and the message waits for its destination */
}

static void look_at_work(const struct work *w, struct inspect_message *m)
{
  m->attempts = w->jobs;
  m->turns = w->batches;
  m->is_reporting = w->is_reporting;
  m->ordered = w->is_removed ? act_word(ACT_REMOVE)
               : w->give_up && w->todo > 0 ? act_word(ACT_BOUNCE)
               : w->is_held ? act_word(ACT_HOLD)
                            : NULL;
}

static int each(int (*f)(void *arg, const struct inspect_message *m), void *arg)
{
  for (uint32_t h = 0; h < waiting_slots(); h++) {
    const struct waiting *w = waiting_at(h);
    struct inspect_message m;
    int r;
    if (!w->is_used)
      continue;
    look_at(h, &m);
    r = f(arg, &m);
    if (r != 0)
      return r;
  }
  return 0;
}

static int find(const char *id, struct inspect_message *m)
{
  uint32_t h = store_is_id(id, strlen(id)) ? waiting_find(id) : WAITING_NONE;

  if (h == WAITING_NONE)
    return -1;
  look_at(h, m);
  if (m->is_active)
    look_at_work(work_find(h), m);
  return 0;
}

struct printer {
  int sock;
  stralloc out; /* bound: TEXT_MAX and one line */
  uint64_t sent, told; /* milliseconds: when something was sent, when progress was */
};

static uint64_t clock_ms(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int send_text(int sock, enum wire_type type, const char *s, size_t len)
{
  struct wire_out o;

  wire_start(&o, type);
  wire_bytes(&o, s, len);
  return chan_send_blocking(sock, &o, -1);
}

static int flush(struct printer *p)
{
  int r = p->out.len ? send_text(p->sock, WIRE_TEXT, p->out.s, p->out.len) : 0;

  p->out.len = 0;
  p->sent = clock_ms();
  return r;
}

/* gathers, but the first line goes out at once */
static int print(void *arg, const char *s, size_t len, int error)
{
  struct printer *p = arg;

  if (error)
    return flush(p) == 0 ? send_text(p->sock, WIRE_COMPLAINT, s, len < 4000 ? len : 4000) : -1;
  while (len > 0) {
    size_t n = len < TEXT_MAX ? len : TEXT_MAX;
    if (p->out.len + n > TEXT_MAX && flush(p) != 0)
      return -1;
    if (!stralloc_catb(&p->out, s, n))
      return -1;
    s += n;
    len -= n;
  }
  return clock_ms() - p->sent > TEXT_MS ? flush(p) : 0;
}

static void tell_progress(void *arg, uint64_t done, uint64_t total)
{
  struct printer *p = arg;
  struct wire_out o;
  uint64_t t = clock_ms();

  if (t - p->sent > TEXT_MS && p->out.len > 0)
    flush(p);
  if (t - p->told < PROGRESS_MS)
    return;
  p->told = t;
  wire_start(&o, WIRE_PROGRESS);
  wire_num(&o, done);
  wire_num(&o, total);
  chan_send_blocking(p->sock, &o, -1);
}

static uint64_t count(void)
{
  return waiting_count();
}

static struct inspect_view view_of(const struct asker *a, struct printer *p)
{
  return (struct inspect_view){.queue_fd = queue_fd,
                               .is_live = 1,
                               .tables = program_table(),
                               .only = a->is_guest ? (long)a->uid : INSPECT_ALL,
                               .each = each,
                               .find = find,
                               .explain = recovery_explain,
                               .print = print,
                               .count = count,
                               .progress = tell_progress,
                               .arg = p};
}

static _Noreturn void end_child(struct printer *p, int code)
{
  struct wire_out o;

  wire_start(&o, WIRE_EXITED);
  wire_num(&o, (uint64_t)code);
  _exit(flush(p) == 0 && chan_send_blocking(p->sock, &o, -1) == 0 ? 0 : 1);
}

static _Noreturn void show(const struct asker *a, int argc, const char *const *argv)
{
  struct printer p = {.sock = a->sock, .told = clock_ms()};
  struct inspect_view v = view_of(a, &p);

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (a->is_guest) {
    alarm(GUEST_S);
    if (nice(GUEST_NICE) < 0)
      errno = 0; /* then not */
  }
  end_child(&p, inspect_run(&v, argc, argv));
}

/* a place for one more child of a guest, or NULL */
static uid_t *place_for(uid_t uid)
{
  uid_t *place = NULL;
  size_t same = 0;

  for (size_t i = 0; i < GUESTS_MAX; i++) {
    same += guests[i] == uid;
    if (guests[i] == 0)
      place = &guests[i];
  }
  return same < GUEST_MAX ? place : NULL;
}

static void free_shower(struct shower *s)
{
  if (s->guest)
    *s->guest = 0;
  free(s);
}

static void on_shown(struct loop_handler *h, int fd, int events)
{
  struct shower *s = (struct shower *)h;

  (void)events;
  if (waitpid(s->pid, NULL, WNOHANG) == 0) {
    loop_drained(fd, LOOP_READ);
    return;
  }
  loop_close(fd);
  free_shower(s);
}

/* forks a child: its pid in the parent, 0 in the child; -1: it cannot be had now */
static pid_t start_child(const struct asker *a, struct shower **child)
{
  uid_t *place = a->is_guest ? place_for(a->uid) : NULL;
  struct shower *s = a->is_guest && !place ? NULL : calloc(1, sizeof *s);
  pid_t pid = s ? fork() : -1;

  if (pid < 0) {
    free(s);
    s = NULL;
  } else if (place) {
    *place = a->uid;
    s->guest = place;
  }
  *child = s;
  return pid;
}

static void watch_child(struct shower *s, pid_t pid)
{
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);

  s->pid = pid;
  s->handler.ready = on_shown;
  if (fd < 0 || loop_add(fd, &s->handler) != 0) { /* no descriptors left */
    kill(pid, SIGKILL); /* it might wait for its reader, and we for it */
    waitpid(pid, NULL, 0);
    free_shower(s);
    return;
  }
  loop_want(fd, LOOP_READ);
}

int showers_look(const struct asker *a, int argc, const char *const *argv)
{
  struct shower *s;
  pid_t pid = start_child(a, &s);

  if (pid == 0)
    show(a, argc, argv);
  if (pid > 0)
    watch_child(s, pid);
  return pid > 0 ? 0 : -1;
}

/* ---- import: in a child, which tells the names of what it has taken in */

static void on_arrivals(struct loop_handler *h, int fd, int events)
{
  struct store_name n;
  ssize_t got;

  (void)events;
  while ((got = read(fd, &n, sizeof n)) == (ssize_t)sizeof n) {
    uint32_t handle = waiting_add(&n);
    if (handle == WAITING_NONE)
      log_failed("queue", n.id, "out of memory; the message waits for the next start");
    else if (waiting_at(handle)->place != 0)
      waiting_at(handle)->is_unverified = 1;
  }
  if (got < 0 && errno == EAGAIN) {
    loop_drained(fd, LOOP_READ);
    return;
  }
  loop_close(fd);
  free(h);
}

static void on_imported(void *arg, const struct store_name *n)
{
  waiting_add(n); /* this child's own list */
  if (write(*(int *)arg, n, sizeof *n) != (ssize_t)sizeof *n)
    _exit(1); /* the manager is gone; the next one finds the message */
}

static _Noreturn void take_archive(const struct asker *a, int json, int to_manager)
{
  struct printer p = {.sock = a->sock, .told = clock_ms()};
  struct inspect_view v = view_of(a, &p);
  struct import *in = import_begin(&v, json, on_imported, &to_manager);
  struct wire_msg m;
  int is_wanted = in != NULL;

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  /* read to its end also when nothing more is wanted: an answer over unread pieces gets lost */
  while (chan_recv_blocking(p.sock, LINK_COMMAND, WIRE_HIGH, -1, &m) == 1 && m.type == WIRE_PIECE &&
         m.f[0].len > 0)
    if (is_wanted && import_feed(in, m.f[0].s, m.f[0].len) != 0)
      is_wanted = 0;
  end_child(&p, import_end(in));
}

static int watch_arrivals(int fd)
{
  struct arrivals *a = calloc(1, sizeof *a);

  if (!a || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || loop_add(fd, &a->handler) != 0) {
    free(a);
    return -1;
  }
  a->handler.ready = on_arrivals;
  loop_want(fd, LOOP_READ);
  return 0;
}

int showers_import(const struct asker *a, int json)
{
  struct shower *s;
  int fd[2];
  pid_t pid;

  if (pipe2(fd, O_CLOEXEC) != 0)
    return -1;
  if (watch_arrivals(fd[0]) != 0) {
    close(fd[0]);
    close(fd[1]);
    return -1;
  }
  pid = start_child(a, &s);
  if (pid == 0)
    take_archive(a, json, fd[1]);
  close(fd[1]); /* without a child this ends what is watched, too */
  if (pid > 0)
    watch_child(s, pid);
  return pid > 0 ? 0 : -1;
}
