/* inspect.c - what the queue commands show: list, show, why
 *
 * Runs in a child of the manager, or in the command while nothing runs. */
#include "queue/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "common/retry.h"
#include "common/units.h"
#include "common/verdict.h"
#include "queue/destination.h"
#include "queue/envelope.h"
#include "queue/history.h"

/* one message, read */
struct sight {
  const struct inspect_view *v;
  const struct inspect_message *m;
  struct envelope e;
  int fd;
  char **reply; /* last one per recipient, or NULL; escaped */
};

/* ---- small text */

void inspect_say(const struct inspect_view *v, int error, const char *format, ...)
{
  char *line;
  va_list args;
  int n;

  va_start(args, format);
  n = vasprintf(&line, format, args);
  va_end(args);
  if (n < 0)
    return;
  v->print(v->arg, line, (size_t)n, error);
  free(line);
}

/* s escaped, in one of a few static buffers */
static const char *clean(const char *s)
{
  static stralloc buf[8]; /* bound: an address or reply */
  static unsigned int turn;
  stralloc *b = &buf[turn++ % 8];

  if (!stralloc_copys(b, "") || log_escape(b, s, strlen(s)) != 0 || !stralloc_0(b))
    return "?";
  return b->s;
}

static const char *duration(uint64_t seconds)
{
  static stralloc buf[4];
  static unsigned int turn;
  stralloc *b = &buf[turn++ % 4];

  if (seconds >= 86400)
    seconds -= seconds % 3600;
  else if (seconds >= 3600)
    seconds -= seconds % 60;
  if (!stralloc_copys(b, "") || units_format_duration(b, seconds) != 0 || !stralloc_0(b))
    return "?";
  return b->s;
}

static const char *timestamp(uint64_t epoch)
{
  static stralloc buf[4];
  static unsigned int turn;
  stralloc *b = &buf[turn++ % 4];

  if (!stralloc_copys(b, "") || units_format_time(b, epoch) != 0 || !stralloc_0(b))
    return "?";
  return b->s;
}

static uint64_t now(void)
{
  return (uint64_t)time(NULL);
}

/* "in 5m", "now" */
static const char *when(uint64_t t)
{
  static char buf[64];

  if (t <= now())
    return "now";
  snprintf(buf, sizeof buf, "in %s", duration(t - now()));
  return buf;
}

static const char *state_word(const struct inspect_message *m)
{
  if (m->is_active)
    return "active";
  if (m->name.state == STORE_HOLD)
    return "hold";
  return m->name.state == STORE_NEW ? "new" : "deferred";
}

static const char *rcpt_word(enum rcpt_status s)
{
  switch (s) {
  case RCPT_DONE:
    return "done";
  case RCPT_FAILED:
  case RCPT_BOUNCED:
    return "failed";
  default:
    return "todo";
  }
}

/* ---- reading */

static int note_reply(void *arg, const struct history_line *l)
{
  struct sight *s = arg;
  uint64_t i;
  const char *reply = l->field[4], *status = l->field[2];

  if (l->kind != 'o' || units_number(l->field[0], strlen(l->field[0]), &i) != 0 || i >= s->e.nrcpt)
    return 0;
  free(s->reply[i]);
  if (asprintf(&s->reply[i], "%s%s%s", status, *status ? " " : "", reply) < 0)
    s->reply[i] = NULL;
  return 0;
}

static void close_sight(struct sight *s)
{
  for (size_t i = 0; s->reply && i < s->e.nrcpt; i++)
    free(s->reply[i]);
  free(s->reply);
  envelope_free(&s->e);
  if (s->fd >= 0)
    close(s->fd);
}

/* 0; -1: it is gone or does not parse, with *why */
static int open_sight(struct sight *s, const struct inspect_view *v, const struct inspect_message *m,
                      const char **why)
{
  memset(s, 0, sizeof *s);
  s->v = v;
  s->m = m;
  *why = "its file is gone";
  s->fd = store_open(v->queue_fd, &m->name, O_RDONLY);
  if (s->fd < 0)
    return -1;
  if (envelope_read(s->fd, &s->e, why) != 0) {
    close(s->fd);
    return -1;
  }
  *why = "out of memory";
  s->reply = calloc(s->e.nrcpt, sizeof *s->reply);
  if (!s->reply) {
    close_sight(s);
    return -1;
  }
  history_each(s->fd, &s->e, note_reply, s);
  return 0;
}

static const char *reply_of(const struct sight *s, size_t i)
{
  return s->reply[i] ? s->reply[i] : "";
}

/* ---- JSON */

static json_t *rcpts_json(const struct sight *s)
{
  json_t *list = json_array();

  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &s->e.rcpt[i];
    json_t *o = json_object();
    json_object_set_new(o, "address", json_bytes(r->address));
    json_object_set_new(o, "state", json_string(rcpt_word(r->status)));
    json_object_set_new(o, "attempts", json_integer(r->attempts));
    json_object_set_new(o, "last_reply", json_bytes(reply_of(s, i)));
    json_array_append_new(list, o);
  }
  return list;
}

static json_t *message_json(const struct sight *s)
{
  json_t *o = json_object();
  uint32_t due = s->m->due;

  json_object_set_new(o, "id", json_string(s->e.id));
  json_object_set_new(o, "sender", json_bytes(s->e.sender));
  json_object_set_new(o, "size", json_integer((json_int_t)s->e.body_len));
  json_object_set_new(o, "created", json_time(s->e.created));
  json_object_set_new(o, "next",
                      due == UINT32_MAX || s->m->is_active ? json_null() : json_time(due ? due : s->e.created));
  json_object_set_new(o, "state", json_string(state_word(s->m)));
  json_object_set_new(o, "recipients", rcpts_json(s));
  return o;
}

static int print_json(const struct inspect_view *v, json_t *o)
{
  stralloc line = {0};
  int r = json_line(&line, o);

  if (r == 0)
    r = v->print(v->arg, line.s, line.len, 0);
  free(line.s);
  return r;
}

/* ---- list */

struct listing {
  const struct inspect_view *v;
  int json;
  unsigned long messages;
};

static void list_text(const struct sight *s, int is_first)
{
  const struct inspect_view *v = s->v;

  if (is_first)
    inspect_say(v, 0, "%-15s  %-8s  %7s  %8s  %-9s  %s\n", "ID", "STATE", "AGE", "SIZE", "NEXT",
                "SENDER, RECIPIENTS");
  inspect_say(v, 0, "%-15s  %-8s  %7s  %8llu  %-9s  <%s>\n", s->e.id, state_word(s->m),
              duration(now() > s->e.created ? now() - s->e.created : 0),
              (unsigned long long)s->e.body_len,
              s->m->is_active              ? "-"
              : s->m->due == UINT32_MAX ? "held"
                                        : when(s->m->due),
              clean(s->e.sender));
  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &s->e.rcpt[i];
    if (r->status == RCPT_DONE || r->status == RCPT_BOUNCED)
      continue;
    inspect_say(v, 0, "%57s%s%s%s\n", "", clean(r->address), *reply_of(s, i) ? ": " : "",
                reply_of(s, i));
  }
}

static int list_one(void *arg, const struct inspect_message *m)
{
  struct listing *l = arg;
  struct sight s;
  const char *why;
  int r = 0;

  if (open_sight(&s, l->v, m, &why) != 0)
    return 0; /* delivered meanwhile, or `queue` will put it aside */
  if (l->json)
    r = print_json(l->v, message_json(&s));
  else
    list_text(&s, l->messages == 0);
  l->messages++;
  close_sight(&s);
  return r;
}

static int list(const struct inspect_view *v, int json, const char *id)
{
  struct listing l = {v, json, 0};

  (void)id;
  v->each(list_one, &l);
  if (!json && l.messages == 0)
    inspect_say(v, 0, "The queue is empty.\n");
  else if (!json)
    inspect_say(v, 0, "%lu message%s.\n", l.messages, l.messages == 1 ? "" : "s");
  return EXIT_OK;
}

/* ---- show */

static json_t *history_json_line(const struct history_line *l)
{
  static const char *const names[2][6] = {
    {"s", "host", "address", "rung", "event", "reply"},
    {"o", "recipient", "verdict", "status", "host", "reply"}};
  json_t *o = json_object();

  json_object_set_new(o, "time", json_time(l->time));
  json_object_set_new(o, "attempt", json_integer(l->attempt));
  for (size_t k = 0; k < 2; k++)
    for (size_t i = 0; names[k][0][0] == l->kind && i < l->n && i < 5; i++)
      json_object_set_new(o, names[k][i + 1], json_bytes(l->field[i]));
  return o;
}

static int collect(void *arg, const struct history_line *l)
{
  json_array_append_new(arg, history_json_line(l));
  return 0;
}

/* "a.example [192.0.2.1]", or one of them, or "" */
static const char *host_text(const struct history_line *l)
{
  static char buf[400];
  const char *host = l->field[0], *address = l->field[1];

  if (*host && *address)
    snprintf(buf, sizeof buf, "%s [%s]", host, address);
  else
    snprintf(buf, sizeof buf, "%s", *host ? host : address);
  return buf;
}

/* one line of history, in words */
static int tell(void *arg, const struct history_line *l)
{
  const struct sight *s = arg;
  const char *reply = l->field[4];
  uint64_t i;

  if (l->kind == 's') {
    inspect_say(s->v, 0, "  %s  attempt %u  %s%s%s (rung %s)%s%s\n", timestamp(l->time), l->attempt,
                host_text(l), *host_text(l) ? ": " : "", l->field[3], l->field[2],
                *reply ? ": " : "", reply);
  } else if (l->kind == 'o') {
    if (units_number(l->field[0], strlen(l->field[0]), &i) != 0 || i >= s->e.nrcpt)
      return 0;
    inspect_say(s->v, 0, "  %s  attempt %u  %s: %s, %s %s\n", timestamp(l->time), l->attempt,
                clean(s->e.rcpt[i].address),
                strcmp(l->field[1], "ok") == 0     ? "delivered"
                : strcmp(l->field[1], "perm") == 0 ? "failed for good"
                                                   : "deferred",
                l->field[2], reply);
  }
  return 0;
}

static void show_rcpts(const struct sight *s)
{
  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &s->e.rcpt[i];
    inspect_say(s->v, 0, "Recipient:  %s  %s, %u attempt%s%s%s\n", clean(r->address),
                rcpt_word(r->status), r->attempts, r->attempts == 1 ? "" : "s",
                *reply_of(s, i) ? ", " : "", reply_of(s, i));
  }
}

static void show_text(const struct sight *s)
{
  const struct inspect_view *v = s->v;
  const struct envelope *e = &s->e;

  inspect_say(v, 0, "Id:         %s\nState:      %s\nSender:     <%s>\n", e->id, state_word(s->m),
              clean(e->sender));
  inspect_say(v, 0, "Created:    %s (%s ago)\n", timestamp(e->created),
              duration(now() > e->created ? now() - e->created : 0));
  if (s->m->due != UINT32_MAX && !s->m->is_active)
    inspect_say(v, 0, "Next:       %s (%s)\n", timestamp(s->m->due ? s->m->due : e->created),
                when(s->m->due));
  inspect_say(v, 0, "Size:       %llu bytes\nFrom:       %s, %s, HELO %s\n",
              (unsigned long long)e->body_len, clean(e->client), clean(e->protocol),
              clean(e->helo));
  inspect_say(v, 0, "Content:    %s%s, longest line %u\n",
              e->content & CONTENT_8BIT_BODY ? "8-bit" : "7-bit",
              e->content & CONTENT_8BIT_HEADER ? " (header too)" : "", e->longest);
  if (*e->envid || *e->ret)
    inspect_say(v, 0, "DSN:        ENVID=%s RET=%s\n", clean(e->envid), e->ret);
  show_rcpts(s);
  inspect_say(v, 0, "History:\n");
  history_each(s->fd, e, tell, (void *)(uintptr_t)s);
}

static int show_json(struct sight *s)
{
  json_t *o = message_json(s), *history = json_array();

  json_object_set_new(o, "client", json_bytes(s->e.client));
  json_object_set_new(o, "helo", json_bytes(s->e.helo));
  json_object_set_new(o, "protocol", json_bytes(s->e.protocol));
  json_object_set_new(o, "envid", json_bytes(s->e.envid));
  json_object_set_new(o, "ret", json_bytes(s->e.ret));
  history_each(s->fd, &s->e, collect, history);
  json_object_set_new(o, "history", history);
  return print_json(s->v, o);
}

/* finds and opens the message; 0, or the exit code */
static int look(const struct inspect_view *v, const char *id, struct inspect_message *m,
                struct sight *s)
{
  const char *why;

  if (v->find(id, m) != 0) {
    inspect_say(v, 1, "heloise: no message %s is in the queue\n", clean(id));
    return EXIT_DATA;
  }
  if (open_sight(s, v, m, &why) != 0) {
    inspect_say(v, 1, "heloise: message %s: %s\n", clean(id), why);
    return EXIT_DATA;
  }
  return 0;
}

static int show(const struct inspect_view *v, int json, const char *id)
{
  struct inspect_message m;
  struct sight s;
  int r = look(v, id, &m, &s);

  if (r != 0)
    return r;
  if (json)
    show_json(&s);
  else
    show_text(&s);
  close_sight(&s);
  return EXIT_OK;
}

/* ---- why */

struct schedule {
  struct retry retry;
  uint64_t end;
};

static void schedule_of(const struct sight *s, size_t i, struct schedule *out)
{
  const char *domain = envelope_domain(s->e.rcpt[i].address);
  struct retry_message m = {.birth = s->e.created, .has_null_sender = !*s->e.sender};

  retry_find(s->v->tables, domain, strlen(domain), &out->retry);
  out->end = retry_end(&out->retry, &m);
}

/* what happens next to recipient i, as a sentence */
static const char *future(const struct sight *s, size_t i)
{
  static char text[400];
  const struct envelope_rcpt *r = &s->e.rcpt[i];
  uint64_t next = r->next > s->m->due ? r->next : s->m->due;
  struct schedule sch;

  schedule_of(s, i, &sch);
  if (r->status != RCPT_TODO)
    snprintf(text, sizeof text, "%s",
             r->status == RCPT_FAILED ? "A failure report to the sender is being made." : "Nothing is left to do for it.");
  else if (s->m->is_active)
    snprintf(text, sizeof text, "It is being tried now, or waits for its turn at its destination.");
  else if (s->m->due == UINT32_MAX || r->next == UINT32_MAX)
    snprintf(text, sizeof text,
             "Table routes holds it: change the route, `heloise reload`, then `heloise queue retry %s`.",
             s->e.id);
  else
    snprintf(text, sizeof text, "It is tried again at %s (%s); if it is still here at %s, it goes back to %s.",
             timestamp(next ? next : s->e.created), when(next), timestamp(sch.end),
             *s->e.sender ? "its sender" : "the postmaster");
  return text;
}

static json_t *why_json(struct sight *s)
{
  json_t *o = message_json(s), *history = json_array(), *list = json_array();
  stralloc text = {0}, rule = {0};
  struct nexthop hop;
  struct schedule sch;

  for (size_t i = 0; i < s->e.nrcpt; i++) {
    json_t *r = json_object();
    if (destination_of(s->v->tables, s->e.rcpt[i].address, &hop, &text, &rule) != 0)
      continue;
    schedule_of(s, i, &sch);
    json_object_set_new(r, "address", json_bytes(s->e.rcpt[i].address));
    json_object_set_new(r, "nexthop", json_bytes(text.s));
    json_object_set_new(r, "rule", json_bytes(rule.s));
    json_object_set_new(r, "expires", json_time(sch.end));
    json_object_set_new(r, "what_next", json_bytes(future(s, i)));
    json_array_append_new(list, r);
  }
  history_each(s->fd, &s->e, collect, history);
  json_object_set_new(o, "why", list);
  json_object_set_new(o, "history", history);
  free(text.s);
  free(rule.s);
  return o;
}

static void why_rcpt(struct sight *s, size_t i)
{
  static stralloc text, rule;
  const struct inspect_view *v = s->v;
  const struct envelope_rcpt *r = &s->e.rcpt[i];
  struct nexthop hop;

  if (destination_of(v->tables, r->address, &hop, &text, &rule) != 0)
    return;
  inspect_say(v, 0, "\n<%s>\n", clean(r->address));
  inspect_say(v, 0, "  Its next hop is %s: %s.\n", clean(text.s), clean(rule.s));
  if (r->attempts == 0)
    inspect_say(v, 0, "  It has not been tried yet.\n");
  else
    inspect_say(v, 0, "  It was tried %u time%s.%s%s\n", r->attempts, r->attempts == 1 ? "" : "s",
                *reply_of(s, i) ? " The last answer was: " : "", reply_of(s, i));
  inspect_say(v, 0, "  %s\n", future(s, i));
}

static void why_text(struct sight *s)
{
  const struct inspect_view *v = s->v;
  size_t left = 0;

  for (size_t i = 0; i < s->e.nrcpt; i++)
    left += s->e.rcpt[i].status == RCPT_TODO || s->e.rcpt[i].status == RCPT_FAILED;
  inspect_say(v, 0, "Message %s from <%s> came %s ago and waits in state %s for %zu of %zu recipient%s.\n",
              s->e.id, clean(s->e.sender), duration(now() > s->e.created ? now() - s->e.created : 0),
              state_word(s->m), left, s->e.nrcpt, s->e.nrcpt == 1 ? "" : "s");
  for (size_t i = 0; i < s->e.nrcpt; i++)
    if (s->e.rcpt[i].status == RCPT_TODO || s->e.rcpt[i].status == RCPT_FAILED)
      why_rcpt(s, i);
  inspect_say(v, 0, "\nWhat was tried:\n");
  history_each(s->fd, &s->e, tell, s);
}

static int why(const struct inspect_view *v, int json, const char *id)
{
  struct inspect_message m;
  struct sight s;
  int r = look(v, id, &m, &s);

  if (r != 0)
    return r;
  if (json)
    print_json(v, why_json(&s));
  else
    why_text(&s);
  close_sight(&s);
  return EXIT_OK;
}

/* ---- for retry */

static int is_at(const char *address, const char *domain)
{
  const char *own = envelope_domain(address);
  size_t len = strlen(own), want = strlen(domain);

  if (domain[0] == '.')
    return len > want && strcasecmp(own + len - want, domain) == 0;
  return strcasecmp(own, domain) == 0;
}

int inspect_concerns(int queue_fd, const struct store_name *n, const char *domain)
{
  struct envelope e;
  const char *why;
  int fd = store_open(queue_fd, n, O_RDONLY), found = 0;

  if (fd < 0)
    return 0;
  if (envelope_read(fd, &e, &why) == 0) {
    for (size_t i = 0; i < e.nrcpt && !found; i++)
      found = e.rcpt[i].status == RCPT_TODO && is_at(e.rcpt[i].address, domain);
    envelope_free(&e);
  }
  close(fd);
  return found;
}

/* ---- verbs */

static const struct {
  const char *verb;
  int wants_id;
  int (*run)(const struct inspect_view *v, int json, const char *id);
} verbs[] = {{"list", 0, list}, {"show", 1, show}, {"why", 1, why}};

int inspect_run(const struct inspect_view *v, int argc, const char *const *argv)
{
  const char *id = NULL;
  int json = 0;
  size_t k = 0;

  while (strcmp(verbs[k].verb, argv[0]) != 0)
    k++;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--json") == 0)
      json = 1;
    else if (argv[i][0] != '-' && !id && verbs[k].wants_id)
      id = argv[i];
    else
      goto usage;
  }
  if (!id == !verbs[k].wants_id)
    return verbs[k].run(v, json, id);
usage:
  inspect_say(v, 1, "usage: heloise queue %s%s [--json]\n", verbs[k].verb,
              verbs[k].wants_id ? " ID" : "");
  return EXIT_USAGE;
}
