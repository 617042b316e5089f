/* control.c - run/control: the queue commands talk to the manager
 *
 * Runs in the manager. Who calls is asked of the kernel: root, the queue's own user, and the
 * owner of the queue directory may; others get mailq and nothing else. What only looks is done by
 * children (showers.h); what acts on messages (orders.h) comes by id, in pieces. */
#include "queue/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/verdict.h"
#include "queue/act.h"
#include "queue/orders.h"
#include "queue/showers.h"
#include "queue/spawners.h"
#include "queue/waiting.h"

#define CALLERS_MAX 32 /* at once, of those who may do all; and of the others */
#define GUEST_MAX 4    /* of one of the others: no user keeps the rest from asking */

struct caller {
  struct chan chan; /* first */
  struct caller *next;
  uid_t uid;
  int is_waiting;  /* for an answer that comes later: not freed before */
  int is_guest;
};

static struct loop_handler listener;
static uid_t owner;
static struct caller *all;

/* ---- answers */

static const char too_busy[] = "heloise: too busy to answer; try again\n";

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
  struct caller **p = &all;

  while (*p != c)
    p = &(*p)->next;
  *p = c->next;
  chan_close(&c->chan);
  free(c);
}

/* whether one more may come */
static int has_room(uid_t uid, int is_guest)
{
  size_t like = 0, same = 0;

  for (const struct caller *c = all; c; c = c->next) {
    like += c->is_guest == is_guest;
    same += c->is_guest && c->uid == uid;
  }
  return like < CALLERS_MAX && (!is_guest || same < GUEST_MAX);
}

/* ---- looks, imports, acts */

static struct asker asker_of(const struct caller *c)
{
  return (struct asker){c->chan.fd, c->uid, c->is_guest};
}

/* the caller's channel goes on with the child */
static void look(struct caller *c, int argc, const char *const *argv)
{
  const struct asker a = asker_of(c);

  if (showers_look(&a, argc, argv) != 0)
    complain(c, too_busy, EXIT_TEMPFAIL);
}

/* the child has the caller to itself: what follows on the channel is its archive */
static void import_archive(struct caller *c, int argc, const char *const *argv)
{
  const struct asker a = asker_of(c);

  if (showers_import(&a, argc > 2 && strcmp(argv[2], "--json") == 0) == 0)
    hang_up(c);
  else
    complain(c, too_busy, EXIT_TEMPFAIL);
}

static int act(struct caller *c, const char *const *argv, const char **why)
{
  char letters[ACT_IDS];
  struct wire_out o;
  enum act a;

  *why = "ACT is malformed";
  if (act_read(argv[0], &a) != 0 || (a == ACT_BOUNCE && !strchr(argv[2], ' ')))
    return -1;
  wire_start(&o, WIRE_ACTED);
  wire_bytes(&o, letters, orders_do(c->uid, a, argv[1], argv[2], letters));
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
} verbs[] = {{"import", import_archive}, {"peers-forget", forget_peer}, {"status", status}};

static void run_request(struct caller *c, int argc, const char *const *argv)
{
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (strcmp(verbs[i].verb, argv[0]) == 0) {
      verbs[i].run(c, argc, argv);
      return;
    }
  look(c, argc, argv);
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
    return act(c, argv, why);
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
  struct caller *c = NULL;
  int fd = accept4(sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), is_guest;

  if (fd < 0) {
    loop_drained(sock, LOOP_READ);
    return;
  }
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0) {
    is_guest = who.uid != 0 && who.uid != owner && who.uid != geteuid();
    c = has_room(who.uid, is_guest) ? calloc(1, sizeof *c) : NULL;
  }
  if (!c) {
    close(fd);
    return;
  }
  c->uid = who.uid;
  c->is_guest = is_guest;
  if (chan_open(&c->chan, fd, LINK_COMMAND, WIRE_HIGH, &ops) != 0) {
    free(c);
    return;
  }
  c->next = all;
  all = c;
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

  showers_open(dir);
  orders_open(dir);
  owner = fstat(dir, &st) == 0 ? st.st_uid : 0;
  listener.ready = on_listener;
  if (loop_add(fd, &listener) != 0)
    return -1;
  loop_want(fd, LOOP_READ);
  return 0;
}
