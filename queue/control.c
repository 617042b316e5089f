/* control.c - run/control: the queue commands talk to the manager
 *
 * Runs in the manager. Who calls is asked of the kernel: root, the queue's own user, and the
 * owner of the queue directory may. What only looks runs in a child, so that a slow reader
 * or a large queue holds up no mail. */
#include "queue/control.h"

#include <errno.h>
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
#include "queue/clock.h"
#include "queue/inspect.h"
#include "queue/line.h"
#include "queue/recovery.h"
#include "queue/spawners.h"
#include "queue/transcript.h"
#include "queue/waiting.h"
#include "queue/work.h"

#define CALLERS_MAX 32
#define TEXT_MAX 32000

struct caller {
  struct chan chan; /* first */
  uid_t uid;
  int is_waiting;  /* for an answer that comes later: not freed before */
};

/* a child that shows something */
struct shower {
  struct loop_handler handler; /* first */
  pid_t pid;
};

static struct loop_handler listener;
static int queue_fd = -1;
static uid_t owner;
static size_t callers;

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

/* ---- list, show, why: in a child */

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
};

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
  return r;
}

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
  return 0;
}

static _Noreturn void show(int sock, int argc, const char *const *argv)
{
  struct printer p = {.sock = sock};
  struct inspect_view v = {.queue_fd = queue_fd, .tables = program_table(), .each = each, .find = find,
                           .explain = recovery_explain, .print = print, .arg = &p};
  struct wire_out o;
  int code;

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  code = inspect_run(&v, argc, argv);
  wire_start(&o, WIRE_EXITED);
  wire_num(&o, (uint64_t)code);
  _exit(flush(&p) == 0 && chan_send_blocking(sock, &o, -1) == 0 ? 0 : 1);
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
  free(s);
}

/* forks the child that answers; the caller's channel goes on with it */
static void start_show(struct caller *c, int argc, const char *const *argv)
{
  struct shower *s = calloc(1, sizeof *s);
  int fd;

  if (!s || (s->pid = fork()) < 0) {
    free(s);
    complain(c, "heloise: too busy to answer; try again\n", EXIT_TEMPFAIL);
    return;
  }
  if (s->pid == 0)
    show(c->chan.fd, argc, argv);
  fd = (int)syscall(SYS_pidfd_open, s->pid, 0);
  s->handler.ready = on_shown;
  if (fd >= 0 && loop_add(fd, &s->handler) == 0) {
    loop_want(fd, LOOP_READ);
    return;
  }
  waitpid(s->pid, NULL, 0); /* no descriptors left */
  free(s);
}

/* ---- retry, remove */

static uint32_t now(void)
{
  return (uint32_t)time(NULL);
}

/* makes a message due now, for all its recipients. 1: done */
static int hurry(uint32_t h)
{
  struct waiting *w = waiting_at(h);
  struct store_name n;

  if (w->is_active)
    return 0; /* it is being worked on */
  line_leave(h);
  waiting_name(h, &n);
  if (n.state == STORE_HOLD) {
    if (store_move(queue_fd, &n, STORE_CUR, now(), n.hop) != 0)
      return 0;
    waiting_moved(h, &n);
  }
  w->is_hurried = 1;
  waiting_until(h, (uint32_t)clock_steady());
  return 1;
}

static unsigned long hurry_all(const char *domain)
{
  unsigned long n = 0;

  for (uint32_t h = 0; h < waiting_slots(); h++) {
    struct store_name name;
    if (!waiting_at(h)->is_used)
      continue;
    waiting_name(h, &name);
    if (!domain || inspect_concerns(queue_fd, &name, domain))
      n += (unsigned long)hurry(h);
  }
  return n;
}

static void retry(struct caller *c, int argc, const char *const *argv)
{
  char text[128];
  const char *what = argc > 1 ? argv[1] : "all";
  struct inspect_message m;
  unsigned long n;

  if (argc > 2) {
    complain(c, "usage: heloise queue retry [ID|DOMAIN|all]\n", EXIT_USAGE);
    return;
  }
  if (find(what, &m) == 0)
    n = (unsigned long)hurry(waiting_find(what));
  else if (store_is_id(what, strlen(what))) {
    complain(c, "heloise: no such message is in the queue\n", EXIT_DATA);
    return;
  } else
    n = hurry_all(strcmp(what, "all") == 0 ? NULL : what);
  snprintf(text, sizeof text, "%lu message%s tried again now.\n", n, n == 1 ? " is" : "s are");
  say(c, WIRE_TEXT, text);
  exited(c, EXIT_OK);
}

static void remove_message(struct caller *c, int argc, const char *const *argv)
{
  char by[32];
  struct inspect_message m;
  struct work *w;
  uint32_t h;

  if (argc != 2) {
    complain(c, "usage: heloise queue remove ID\n", EXIT_USAGE);
    return;
  }
  if (find(argv[1], &m) != 0) {
    complain(c, "heloise: no such message is in the queue\n", EXIT_DATA);
    return;
  }
  h = waiting_find(argv[1]);
  w = waiting_at(h)->is_active ? work_find(h) : NULL;
  snprintf(by, sizeof by, "uid %u", (unsigned int)c->uid);
  if (w) {
    work_remove(w);
  } else if (store_remove(queue_fd, &m.name) == 0 || errno == ENOENT) {
    transcript_left(queue_fd, argv[1]);
    waiting_drop(h);
  } else {
    complain(c, "heloise: the message's file cannot be removed\n", EXIT_IOERR);
    return;
  }
  log_removed(argv[1], by, w ? "after its attempt" : "at once");
  say(c, WIRE_TEXT, w ? "It is being tried this moment and goes when that ends.\n" : "Removed.\n");
  exited(c, EXIT_OK);
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

static const struct {
  const char *verb;
  void (*run)(struct caller *c, int argc, const char *const *argv);
} verbs[] = {
  {"list", start_show},       {"show", start_show},        {"why", start_show}, {"retry", retry},
  {"remove", remove_message}, {"peers-forget", forget_peer}, {"status", status}};

static int on_request(struct chan *chan, struct wire_msg *m, const char **why)
{
  static stralloc text[WIRE_FIELDS]; /* bound: 1 KiB each */
  struct caller *c = (struct caller *)chan;
  const char *argv[WIRE_FIELDS];

  *why = "REQUEST is malformed";
  if (c->is_waiting)
    return -1;
  for (size_t i = 0; i < m->n; i++) {
    if (wire_get_text(m, i, 1024, &text[i]) != 0)
      return -1;
    argv[i] = text[i].s;
  }
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (strcmp(verbs[i].verb, argv[0]) == 0) {
      verbs[i].run(c, (int)m->n, argv);
      return 0;
    }
  complain(c, "heloise: the queue manager does not know this request\n", EXIT_USAGE);
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
  if (chan_open(&c->chan, fd, LINK_COMMAND, WIRE_HIGH, &ops) != 0) {
    free(c);
    return;
  }
  callers++;
  if (who.uid != 0 && who.uid != owner && who.uid != geteuid()) {
    complain(c, "heloise: only root and the queue's owner may ask; try as root\n", EXIT_NOPERM);
    hang_up(c);
  }
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
