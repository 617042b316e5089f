/* control.c - run/control: the queue commands talk to the manager
 *
 * Runs in the manager. Who calls is asked of the kernel: root, the queue's own user, and the
 * owner of the queue directory may; others get mailq and nothing else. What only looks, and an
 * archive that is taken in, runs in a child, so that a slow reader or a large queue holds up no
 * mail. What acts on messages comes by id, in pieces. */
#include "queue/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/program.h"
#include "queue/act.h"
#include "queue/clock.h"
#include "queue/flush.h"
#include "queue/import.h"
#include "queue/inspect.h"
#include "queue/line.h"
#include "queue/recovery.h"
#include "queue/spawners.h"
#include "queue/survey.h"
#include "queue/waiting.h"
#include "queue/work.h"

#define CALLERS_MAX 32
#define GUESTS_MAX 4 /* children at once for users who may not do more */
#define TEXT_MAX 32000
#define TEXT_MS 200     /* so long what is printed may be kept back */
#define PROGRESS_MS 200
#define GUEST_NICE 10

struct caller {
  struct chan chan; /* first */
  uid_t uid;
  int is_waiting;  /* for an answer that comes later: not freed before */
  int is_guest;
};

/* a child that shows something, or takes an archive in */
struct shower {
  struct loop_handler handler; /* first */
  pid_t pid;
  int is_guest;
};

/* names of messages that a child has taken in come by this pipe */
struct arrivals {
  struct loop_handler handler; /* first */
};

static struct loop_handler listener;
static int queue_fd = -1;
static uid_t owner;
static size_t callers, guests;

/* ---- answers */

static void say(struct caller *c, enum wire_type type, const char *text)
{
  struct wire_out o;

  wire_start(&o, type);
  wire_str(&o, text);
  chan_send(&c->chan, &o, -1);
}

static void exited(struct caller *c, int code)
{
  struct wire_out o;

  wire_start(&o, WIRE_EXITED);
  wire_num(&o, (uint64_t)code);
  chan_send(&c->chan, &o, -1);
}

static void complain(struct caller *c, const char *text, int code)
{
  say(c, WIRE_COMPLAINT, text);
  exited(c, code);
}

static void hang_up(struct caller *c)
{
  chan_close(&c->chan);
  callers--;
  free(c);
}

/* ---- what looks: in a child */

static void look_at(uint32_t h, struct inspect_message *m)
{
  const struct waiting *w = waiting_at(h);

  waiting_name(h, &m->name);
  m->is_active = w->is_active;
  m->due = w->due == WAITING_NEVER ? w->due : (uint32_t)clock_to_wall(w->due);
  if (w->line == LINE_DUE || w->line == LINE_NEW)
    m->due = w->next; /* it came, and the message waits for its destination */
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

static struct inspect_view view_of(const struct caller *c, struct printer *p)
{
  return (struct inspect_view){.queue_fd = queue_fd,
                               .is_live = 1,
                               .tables = program_table(),
                               .only = c->is_guest ? (long)c->uid : INSPECT_ALL,
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

static _Noreturn void show(const struct caller *c, int argc, const char *const *argv)
{
  struct printer p = {.sock = c->chan.fd, .told = clock_ms()};
  struct inspect_view v = view_of(c, &p);

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (c->is_guest && nice(GUEST_NICE) < 0)
    errno = 0; /* then not */
  end_child(&p, inspect_run(&v, argc, argv));
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
  guests -= s->is_guest != 0;
  free(s);
}

/* forks a child: its pid in the parent, 0 in the child; -1 after a complaint */
static pid_t start_child(struct caller *c, struct shower **child)
{
  struct shower *s = c->is_guest && guests >= GUESTS_MAX ? NULL : calloc(1, sizeof *s);
  pid_t pid = s ? fork() : -1;

  *child = s;
  if (pid >= 0)
    return pid;
  free(s);
  complain(c, "heloise: too busy to answer; try again\n", EXIT_TEMPFAIL);
  return -1;
}

static void watch_child(struct shower *s, pid_t pid, int is_guest)
{
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);

  s->pid = pid;
  s->handler.ready = on_shown;
  s->is_guest = is_guest;
  if (fd < 0 || loop_add(fd, &s->handler) != 0) {
    waitpid(pid, NULL, 0); /* no descriptors left */
    free(s);
    return;
  }
  guests += is_guest != 0;
  loop_want(fd, LOOP_READ);
}

/* forks the child that answers; the caller's channel goes on with it */
static void start_show(struct caller *c, int argc, const char *const *argv)
{
  struct shower *s;
  pid_t pid = start_child(c, &s);

  if (pid == 0)
    show(c, argc, argv);
  if (pid > 0)
    watch_child(s, pid, c->is_guest);
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

static _Noreturn void take_archive(const struct caller *c, int json, int to_manager)
{
  struct printer p = {.sock = c->chan.fd, .told = clock_ms()};
  struct inspect_view v = view_of(c, &p);
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

/* the child has the caller to itself: what follows on the channel is its archive */
static void start_import(struct caller *c, int argc, const char *const *argv)
{
  struct arrivals *a = calloc(1, sizeof *a);
  struct shower *s = NULL;
  int fd[2] = {-1, -1};
  pid_t pid = -1;

  if (!a || pipe2(fd, O_CLOEXEC) != 0)
    complain(c, "heloise: too busy to answer; try again\n", EXIT_TEMPFAIL);
  else
    pid = start_child(c, &s);
  if (pid == 0)
    take_archive(c, argc > 2 && strcmp(argv[2], "--json") == 0, fd[1]);
  if (fd[1] >= 0)
    close(fd[1]);
  if (pid < 0) {
    if (fd[0] >= 0)
      close(fd[0]);
    free(a);
    return;
  }
  watch_child(s, pid, 0);
  a->handler.ready = on_arrivals;
  if (fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0 && loop_add(fd[0], &a->handler) == 0)
    loop_want(fd[0], LOOP_READ);
  else
    log_failed("queue", "import", strerror(errno));
  hang_up(c);
}

/* ---- acts */

static uint32_t now(void)
{
  return (uint32_t)time(NULL);
}

/* an act to one message that is known. Those being worked on have it later */
struct target {
  uint32_t handle;
  struct work *work; /* NULL: it is not being worked on */
  struct store_name name;
  const char *text;
};

/* its file was moved: it is due then (wall clock), and has to be looked at anew */
static enum acted settle_at(struct target *t, enum acted r, uint32_t due)
{
  if (r != ACTED_DONE)
    return r;
  line_leave(t->handle);
  waiting_moved(t->handle, &t->name);
  waiting_at(t->handle)->is_unverified = 1;
  waiting_until(t->handle, due == WAITING_NEVER ? due : (uint32_t)clock_to_steady(due));
  flush_soon(&t->name);
  return r;
}

static enum acted hold(struct target *t)
{
  if (t->work)
    return work_hold(t->work, 1) ? ACTED_LATER : ACTED_NOTHING;
  return settle_at(t, act_hold(queue_fd, &t->name), WAITING_NEVER);
}

static enum acted hurry(struct target *t)
{
  if (t->work)
    return ACTED_NOTHING;
  if (t->name.state == STORE_HOLD &&
      store_move(queue_fd, &t->name, STORE_CUR, now(), t->name.hop) != 0)
    return ACTED_FAILED;
  line_leave(t->handle);
  waiting_moved(t->handle, &t->name);
  waiting_at(t->handle)->is_hurried = 1;
  waiting_until(t->handle, (uint32_t)clock_steady());
  return ACTED_DONE;
}

static enum acted release(struct target *t)
{
  enum acted r;

  if (t->work)
    return work_hold(t->work, 0) ? ACTED_DONE : ACTED_NOTHING;
  if (t->name.state == STORE_HOLD && t->name.next == WAITING_NEVER)
    return hurry(t); /* a route held it: its recipients have no time of their own */
  r = act_release(queue_fd, &t->name);
  return settle_at(t, r, t->name.next);
}

static enum acted give_up(struct target *t)
{
  if (t->work)
    return work_bounce(t->work, t->text) == 0 ? ACTED_LATER : ACTED_FAILED;
  return settle_at(t, act_bounce(queue_fd, &t->name, t->text), now());
}

static enum acted throw_away(struct target *t)
{
  enum acted r;

  if (t->work) {
    work_remove(t->work);
    return ACTED_LATER;
  }
  r = act_remove(queue_fd, &t->name);
  if (r == ACTED_DONE)
    waiting_drop(t->handle);
  return r;
}

static const struct {
  enum acted (*run)(struct target *t);
  int is_logged;
} acts[ACTS] = {[ACT_HOLD] = {hold, 1},
                [ACT_RELEASE] = {release, 1},
                [ACT_RETRY] = {hurry, 0},
                [ACT_REMOVE] = {throw_away, 0},
                [ACT_BOUNCE] = {give_up, 1}};

static enum acted act_on(const struct caller *c, enum act a, const char *id, const char *text)
{
  struct target t = {.handle = store_is_id(id, strlen(id)) ? waiting_find(id) : WAITING_NONE,
                     .text = text};
  enum acted r;
  char by[32];

  if (t.handle == WAITING_NONE)
    return ACTED_UNKNOWN;
  t.work = waiting_at(t.handle)->is_active ? work_find(t.handle) : NULL;
  waiting_name(t.handle, &t.name);
  r = acts[a].run(&t);
  snprintf(by, sizeof by, "uid %u", (unsigned int)c->uid);
  if (a == ACT_REMOVE && (r == ACTED_DONE || r == ACTED_LATER))
    log_removed(id, by, r == ACTED_LATER ? "after its attempt" : "at once");
  else if (acts[a].is_logged && (r == ACTED_DONE || r == ACTED_LATER))
    log_ordered(id, by, act_word(a));
  return r;
}

/* a file that verify found broken. One that is known by this name is no message any more; one that
 * is being worked on, or was moved since, is left */
static enum acted put_aside(const char *path, const char *why)
{
  uint32_t h = WAITING_NONE;
  struct store_name n, known;

  if (store_parse(path, &n) == 0)
    h = waiting_find(n.id);
  if (h != WAITING_NONE) {
    waiting_name(h, &known);
    if (!store_is_same(&n, &known))
      h = WAITING_NONE; /* another file with this id */
    else if (waiting_at(h)->is_active)
      return ACTED_LATER;
  }
  if (survey_aside(queue_fd, path, why) != 0)
    return errno == ENOENT ? ACTED_NOTHING : ACTED_FAILED;
  if (h == WAITING_NONE)
    return ACTED_DONE;
  waiting_drop(h);
  return ACTED_DONE;
}

/* a message that somebody put into the queue */
static enum acted adopt(const char *path, const char *why)
{
  struct store_name n;
  uint32_t h;
  int fd;

  (void)why;
  if (store_parse(path, &n) != 0 || waiting_find(n.id) != WAITING_NONE)
    return ACTED_NOTHING;
  fd = store_open(queue_fd, &n, O_RDONLY);
  if (fd < 0)
    return ACTED_UNKNOWN;
  close(fd);
  h = waiting_add(&n);
  if (h == WAITING_NONE)
    return ACTED_FAILED;
  waiting_at(h)->is_unverified = 1;
  return ACTED_DONE;
}

static enum acted mend(const char *path, const char *why)
{
  (void)why;
  return survey_mend(queue_fd, path) == 0 ? ACTED_DONE : errno == ENOENT ? ACTED_NOTHING : ACTED_FAILED;
}

static const struct {
  enum acted (*run)(const char *path, const char *why);
} path_acts[ACTS] = {[ACT_ASIDE] = {put_aside}, [ACT_MEND] = {mend}, [ACT_ADOPT] = {adopt}};

static int on_act(struct caller *c, const char *const *argv, const char **why)
{
  char letters[ACT_IDS + 1] = "", id[STORE_ID_LEN + 1];
  struct wire_out o;
  enum act a;
  size_t n = 0;

  *why = "ACT is malformed";
  if (act_read(argv[0], &a) != 0 || (a == ACT_BOUNCE && !strchr(argv[2], ' ')))
    return -1;
  if (a >= ACT_ASIDE) {
    letters[n++] = (char)path_acts[a].run(argv[1], argv[2]);
  } else {
    for (const char *ids = argv[1]; *ids && n < ACT_IDS; ids += *ids == ' ') {
      size_t len = strcspn(ids, " ");
      snprintf(id, sizeof id, "%.*s", (int)len, ids);
      letters[n++] = len == STORE_ID_LEN ? (char)act_on(c, a, id, argv[2]) : ACTED_UNKNOWN;
      ids += len;
    }
  }
  wire_start(&o, WIRE_ACTED);
  wire_bytes(&o, letters, n);
  chan_send(&c->chan, &o, -1);
  return 0;
}

/* ---- peers-forget, status */

static void on_forgotten(void *arg, long count)
{
  struct caller *c = arg;
  char text[64];

  c->is_waiting = 0;
  if (!chan_is_open(&c->chan)) {
    hang_up(c);
    return;
  }
  if (count < 0) {
    complain(c, "heloise: heloise-deliver cannot be asked now; try again\n", EXIT_TEMPFAIL);
    return;
  }
  snprintf(text, sizeof text, "%ld", count);
  say(c, WIRE_TEXT, text);
  exited(c, EXIT_OK);
}

static void forget_peer(struct caller *c, int argc, const char *const *argv)
{
  if (argc != 2) {
    complain(c, "usage: heloise peers forget HOST\n", EXIT_USAGE);
    return;
  }
  c->is_waiting = 1;
  spawners_forget(argv[1], on_forgotten, c);
}

static void status(struct caller *c, int argc, const char *const *argv)
{
  unsigned long n[4] = {0};
  char text[128];

  (void)argc;
  (void)argv;
  for (uint32_t h = 0; h < waiting_slots(); h++) {
    const struct waiting *w = waiting_at(h);
    if (w->is_used)
      n[w->is_active ? 1 : w->state == STORE_CUR ? 2 : w->state == STORE_HOLD ? 3 : 0]++;
  }
  snprintf(text, sizeof text, "new %lu\nactive %lu\ndeferred %lu\nhold %lu\n", n[0], n[1], n[2],
           n[3]);
  say(c, WIRE_TEXT, text);
  exited(c, EXIT_OK);
}

/* ---- requests */

/* what is no verb of people's */
static const struct {
  const char *verb;
  void (*run)(struct caller *c, int argc, const char *const *argv);
} verbs[] = {{"import", start_import}, {"peers-forget", forget_peer}, {"status", status}};

static void run_request(struct caller *c, int argc, const char *const *argv)
{
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (strcmp(verbs[i].verb, argv[0]) == 0) {
      verbs[i].run(c, argc, argv);
      return;
    }
  start_show(c, argc, argv);
}

static int on_request(struct chan *chan, struct wire_msg *m, const char **why)
{
  static stralloc text[WIRE_FIELDS]; /* bound: the packet's */
  struct caller *c = (struct caller *)chan;
  const char *argv[WIRE_FIELDS];

  *why = "REQUEST is malformed";
  if (c->is_waiting)
    return -1;
  if (m->type == WIRE_PIECE)
    return 0; /* of an archive that is not taken, as was said */
  for (size_t i = 0; i < m->n; i++) {
    if (wire_get_text(m, i, WIRE_MAX, &text[i]) != 0)
      return -1;
    argv[i] = text[i].s;
  }
  if (c->is_guest && (m->type == WIRE_ACT || strcmp(argv[0], "mailq") != 0)) {
    complain(c, "heloise: only root and the queue's owner may ask; try as root\n", EXIT_NOPERM);
    return 0;
  }
  if (m->type == WIRE_ACT)
    return on_act(c, argv, why);
  run_request(c, (int)m->n, argv);
  return 0;
}

static void on_closed(struct chan *chan, const char *why)
{
  struct caller *c = (struct caller *)chan;

  if (why)
    log_fault("queue", "command", why);
  if (!c->is_waiting)
    hang_up(c);
}

static void accept_one(int sock)
{
  static const struct chan_ops ops = {on_request, on_closed, NULL};
  struct ucred who;
  socklen_t len = sizeof who;
  struct caller *c;
  int fd = accept4(sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  if (fd < 0) {
    loop_drained(sock, LOOP_READ);
    return;
  }
  c = callers < CALLERS_MAX ? calloc(1, sizeof *c) : NULL;
  if (!c || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) {
    free(c);
    close(fd);
    return;
  }
  c->uid = who.uid;
  c->is_guest = who.uid != 0 && who.uid != owner && who.uid != geteuid();
  if (chan_open(&c->chan, fd, LINK_COMMAND, WIRE_HIGH, &ops) != 0) {
    free(c);
    return;
  }
  callers++;
}

static void on_listener(struct loop_handler *h, int fd, int events)
{
  (void)h;
  (void)events;
  accept_one(fd);
}

int control_listen(int fd, int dir)
{
  struct stat st;

  queue_fd = dir;
  owner = fstat(dir, &st) == 0 ? st.st_uid : 0;
  listener.ready = on_listener;
  if (loop_add(fd, &listener) != 0)
    return -1;
  loop_want(fd, LOOP_READ);
  return 0;
}
