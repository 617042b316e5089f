/* askers.c - the attempts that ask, and their questions
 *
 * Runs in heloise-resolve. An attempt is trusted less: what does not parse ends its
 * channel. The spawner is trusted more. */
#include "resolve/askers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/program.h"

struct question {
  struct lookup_query query; /* first */
  struct asker *asker;
  uint64_t number;
  enum answer_type type;
  struct question *next; /* of those that are idle */
  int is_busy;
  char name[ASK_NAME_MAX + 1];
};

/* an attempt; or, when it has a name, a program that asks about its clients */
struct asker {
  struct chan chan; /* first */
  const char *name;
  struct asker *after; /* of those with a name */
  struct question *idle; /* a row by their `next` */
  size_t n;
  struct question q[];
};

static struct lookup *current;
static struct chan spawner = {.fd = -1};
static unsigned int asker_count;
static struct asker *programs;

static int send_answer(struct asker *a, uint64_t number, const struct lookup_result *r)
{
  struct wire_out o;

  wire_start(&o, WIRE_ANSWER);
  wire_num(&o, number);
  wire_str(&o, ask_status_word(r->status));
  wire_str(&o, answer_security_word(r->security));
  wire_bytes(&o, r->canonical, strnlen(r->canonical, ASK_NAME_MAX));
  wire_num(&o, r->ttl);
  wire_bytes(&o, r->records->s, r->records->len);
  return chan_send(&a->chan, &o, -1);
}

static void give_back(struct question *q)
{
  q->is_busy = 0;
  q->next = q->asker->idle;
  q->asker->idle = q;
}

/* when it cannot be sent, the attempt's own clock ends its wait */
static void done(struct lookup_query *query, const struct lookup_result *r)
{
  struct question *q = (struct question *)query;

  give_back(q);
  if (r->status == ASK_FAILED)
    log_lookup_failed(q->name, answer_type_word(q->type), ask_status_word(r->status), r->why);
  send_answer(q->asker, q->number, r);
}

static int fail_at_once(struct asker *a, uint64_t number, const char *name, const char *why)
{
  static const stralloc none = {.s = "", .len = 0, .a = 0};
  static const struct lookup_result failed = {.canonical = "", .records = &none,
                                              .status = ASK_FAILED};

  log_lookup_failed(name, NULL, ask_status_word(ASK_FAILED), why);
  send_answer(a, number, &failed);
  return 0;
}

static int on_question(struct chan *c, struct wire_msg *m, const char **why)
{
  struct asker *a = (struct asker *)c;
  struct question *q = a->idle;
  char name[ASK_NAME_MAX + 1];
  enum answer_type type;
  uint64_t number;

  *why = "a question that is none";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 ||
      answer_name(m->f[1].s, m->f[1].len, name) != 0 ||
      answer_type_read(m->f[2].s, m->f[2].len, &type) != 0)
    return -1;
  if (!q || !current)
    return fail_at_once(a, number, name, "too many questions at once");
  a->idle = q->next;
  *q = (struct question){.query = {.done = done}, .asker = a, .number = number, .type = type,
                         .is_busy = 1};
  memcpy(q->name, name, sizeof name);
  if (lookup_ask(current, name, type, &q->query) == 0)
    return 0;
  give_back(q);
  return fail_at_once(a, number, name, "libunbound does not take the question");
}

/* the attempt has ended: what it asked concerns nobody any more */
static void on_asker_closed(struct chan *c, const char *why)
{
  struct asker *a = (struct asker *)c;

  if (why && a->name)
    program_fault(a->name, why);
  else if (why)
    log_fault("resolve", "attempt", why);
  for (size_t i = 0; i < a->n; i++)
    if (a->q[i].is_busy)
      lookup_cancel(&a->q[i].query);
  asker_count -= a->name == NULL;
  for (struct asker **p = &programs; *p; p = &(*p)->after)
    if (*p == a) {
      *p = a->after;
      break;
    }
  free(a);
}

static const struct chan_ops asker_ops = {on_question, on_asker_closed, NULL};

/* takes fd over. NULL with errno when there is no memory for it. */
static struct asker *new_asker(int fd, size_t questions)
{
  struct asker *a = calloc(1, sizeof *a + questions * sizeof *a->q);

  if (!a) {
    close(fd);
    return NULL;
  }
  a->n = questions;
  for (size_t i = questions; i > 0; i--) {
    a->q[i - 1].asker = a;
    give_back(&a->q[i - 1]);
  }
  if (chan_open(&a->chan, fd, LINK_ASK, WIRE_HIGH, &asker_ops) == 0)
    return a;
  free(a);
  return NULL;
}

static int on_asker(struct chan *c, struct wire_msg *m, const char **why)
{
  int fd = m->fd;

  (void)c;
  (void)why;
  if (asker_count >= ASKERS_MAX)
    return 0; /* the descriptor is closed: the attempt sees that there is no answer */
  m->fd = -1;
  asker_count += new_asker(fd, ASKER_QUESTIONS) != NULL;
  return 0;
}

int askers_program(const char *name, int fd)
{
  struct asker *a = new_asker(fd, PROGRAM_QUESTIONS);

  if (!a)
    return -1;
  a->name = name;
  a->after = programs;
  programs = a;
  if (!current)
    chan_pause(&a->chan);
  return 0;
}

static void on_spawner_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("deliver", why);
}

static const struct chan_ops spawner_ops = {on_asker, on_spawner_closed, NULL};

int askers_spawner(int fd)
{
  chan_close(&spawner);
  if (chan_open(&spawner, fd, LINK_ASKERS, WIRE_LOW, &spawner_ops) != 0)
    return -1;
  if (!current)
    chan_pause(&spawner);
  return 0;
}

void askers_use(struct lookup *l)
{
  current = l;
  chan_resume(&spawner);
  for (struct asker *a = programs; a; a = a->after)
    chan_resume(&a->chan);
}
