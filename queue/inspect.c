/* inspect.c - what the queue commands show: list, show, why, and which they mean
 *
 * Runs in a child of the manager, or in the command while nothing runs. */
#include "queue/inspect.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/verdict.h"
#include "queue/archive_out.h"
#include "queue/mailq.h"
#include "queue/show_content.h"
#include "queue/show_transcript.h"
#include "queue/sight.h"
#include "queue/stats.h"
#include "queue/story.h"
#include "queue/verify.h"
#include "queue/why.h"

/* ---- list */

struct listing {
  const struct inspect_view *v;
  int json;
  unsigned long messages;
};

/* 0, or -1: nobody reads */
static int list_text(const struct sight *s, int is_first)
{
  const struct inspect_view *v = s->v;
  int r = 0;

  if (is_first)
    r |= inspect_say(v, 0, "%-15s  %-8s  %7s  %8s  %-9s  %s\n", "ID", "STATE", "AGE", "SIZE", "NEXT",
                     "SENDER, RECIPIENTS");
  r |= inspect_say(v, 0, "%-15s  %-8s  %7s  %8llu  %-9s  <%s>\n", s->e.id, sight_state_word(s->m),
              sight_duration(sight_now() > s->e.created ? sight_now() - s->e.created : 0),
              (unsigned long long)s->e.body_len,
              s->m->is_active              ? "-"
              : s->m->due == UINT32_MAX ? "held"
                                        : sight_when(sight_next(s)),
              sight_clean(s->e.sender));
  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *rcpt = &s->e.rcpt[i];
    if (envelope_is_closed(rcpt->status))
      continue;
    r |= inspect_say(v, 0, "%57s%s%s%s\n", "", sight_clean(rcpt->address),
                     *sight_reply(s, i) ? ": " : "", sight_reply(s, i));
  }
  return r;
}

static int list_one(void *arg, struct sight *s)
{
  struct listing *l = arg;
  int r = 0;

  if (sight_replies(s) != 0)
    return 0;
  if (l->json)
    r = sight_print(l->v, sight_json(s));
  else
    r = list_text(s, l->messages == 0);
  l->messages++;
  return r;
}

static int list(const struct inspect_view *v, const struct request *q)
{
  struct listing l = {v, q->json, 0};

  sight_each(v, &q->filter, list_one, &l);
  if (!l.json && l.messages == 0)
    inspect_say(v, 0, filter_is_set(&q->filter) ? "No such message is in the queue.\n"
                                                : "The queue is empty.\n");
  else if (!l.json)
    inspect_say(v, 0, "%lu message%s.\n", l.messages, l.messages == 1 ? "" : "s");
  return EXIT_OK;
}

/* ---- select: the ids that a filter takes, for commands that act on them */

struct choosing {
  const struct inspect_view *v;
  const struct filter *f;
};

static int print_id(const struct choosing *c, const struct inspect_message *m)
{
  char line[64];
  int n = snprintf(line, sizeof line, "%s %s\n", m->name.id, sight_state_word(m));

  return c->v->print(c->v->arg, line, (size_t)n, 0);
}

static int select_one(void *arg, struct sight *s)
{
  return print_id(arg, s->m);
}

static int select_by_name(void *arg, const struct inspect_message *m)
{
  const struct choosing *c = arg;

  return filter_takes_state(c->f, sight_state(m)) ? print_id(c, m) : 0;
}

/* those of ids, separated by spaces, that are in the queue */
static void select_named(const struct choosing *c, const char *ids)
{
  for (; *ids; ids += *ids == ' ') {
    struct inspect_message m;
    char id[STORE_ID_LEN + 2];
    size_t len = strcspn(ids, " ");
    snprintf(id, sizeof id, "%.*s", (int)len, ids);
    if (c->v->find(id, &m) == 0)
      print_id(c, &m);
    ids += len;
  }
}

static int select_ids(const struct inspect_view *v, const struct request *q)
{
  struct choosing c = {v, &q->filter};

  for (size_t i = 0; i < q->args; i++)
    select_named(&c, q->arg[i]);
  if (q->args > 0)
    return EXIT_OK;
  if (filter_needs_envelope(&q->filter))
    sight_each(v, &q->filter, select_one, &c);
  else
    v->each(select_by_name, &c);
  return EXIT_OK;
}

/* ---- show */

static int say(void *arg, int depth, const char *sentence)
{
  const struct sight *s = arg;

  inspect_say(s->v, 0, "%s%s\n", depth ? "    " : "  ", sentence);
  return 0;
}

static void show_rcpts(const struct sight *s)
{
  for (size_t i = 0; i < s->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &s->e.rcpt[i];
    inspect_say(s->v, 0, "Recipient:  %s  %s, %u attempt%s%s%s\n", sight_clean(r->address),
                sight_rcpt(r->status), r->attempts, r->attempts == 1 ? "" : "s",
                *sight_reply(s, i) ? ", " : "", sight_reply(s, i));
  }
}

static void show_text(struct sight *s, const struct story *story)
{
  const struct story_teller t = {.e = &s->e, .say = say, .arg = s};
  const struct inspect_view *v = s->v;
  const struct envelope *e = &s->e;

  inspect_say(v, 0, "Id:         %s\nState:      %s%s\nSender:     <%s>\n", e->id, sight_state_word(s->m),
              sight_doing(s->m), sight_clean(e->sender));
  inspect_say(v, 0, "Created:    %s (%s ago)\n", sight_time(e->created),
              sight_duration(sight_now() > e->created ? sight_now() - e->created : 0));
  if (s->m->due != UINT32_MAX && !s->m->is_active)
    inspect_say(v, 0, "Next:       %s (%s)\n", sight_time(sight_next(s) ? sight_next(s) : e->created),
                sight_when(sight_next(s)));
  inspect_say(v, 0, "Size:       %llu bytes\nFrom:       %s, %s, HELO %s\n",
              (unsigned long long)e->body_len, sight_clean(e->client), sight_clean(e->protocol),
              sight_clean(e->helo));
  inspect_say(v, 0, "Content:    %s%s, longest line %u\n",
              e->content & CONTENT_8BIT_BODY ? "8-bit" : "7-bit",
              e->content & CONTENT_8BIT_HEADER ? " (header too)" : "", e->longest);
  if (*e->envid || *e->ret)
    inspect_say(v, 0, "DSN:        ENVID=%s RET=%s\n", sight_clean(e->envid), e->ret);
  show_rcpts(s);
  if (!story)
    return;
  inspect_say(v, 0, "History:\n");
  story_tell(story, &t);
}

static int show_json(struct sight *s, const struct story *story)
{
  json_t *o = sight_json(s);

  sight_under_way(s, o);
  json_object_set_new(o, "client", json_bytes(s->e.client));
  json_object_set_new(o, "helo", json_bytes(s->e.helo));
  json_object_set_new(o, "protocol", json_bytes(s->e.protocol));
  json_object_set_new(o, "envid", json_bytes(s->e.envid));
  json_object_set_new(o, "ret", json_bytes(s->e.ret));
  if (story)
    json_object_set_new(o, "history", story_json(story));
  return sight_print(s->v, o);
}

static int show(const struct inspect_view *v, const struct request *q)
{
  struct inspect_message m;
  struct story story = {0};
  struct sight s;
  int r;

  if (q->parts & PART_TRANSCRIPT)
    return show_transcript(v, q->json, q->arg[0], q->attempt);
  r = sight_look(v, q->arg[0], &m, &s);
  if (r != 0)
    return r;
  if (q->parts & (PART_HEADERS | PART_BODY)) {
    r = show_content(&s, q->parts);
    sight_close(&s);
    return r;
  }
  if (!(q->parts & PART_ENVELOPE))
    history_each(s.fd, &s.e, story_note, &story);
  if (q->json)
    show_json(&s, q->parts & PART_ENVELOPE ? NULL : &story);
  else
    show_text(&s, q->parts & PART_ENVELOPE ? NULL : &story);
  story_free(&story);
  sight_close(&s);
  return EXIT_OK;
}

static int why(const struct inspect_view *v, const struct request *q)
{
  return why_show(v, q->json, q->arg[0]);
}

/* ---- verbs */

static int (*const run[REQUEST_VERBS])(const struct inspect_view *v, const struct request *q) = {
  [REQUEST_LIST] = list,         [REQUEST_SHOW] = show,         [REQUEST_WHY] = why,
  [REQUEST_STATS] = stats_show,  [REQUEST_VERIFY] = verify_run, [REQUEST_MAILQ] = mailq_show,
  [REQUEST_SELECT] = select_ids, [REQUEST_FETCH] = archive_fetch};

int inspect_does(enum request_verb verb)
{
  return run[verb] != NULL;
}

int inspect_run(const struct inspect_view *v, int argc, const char *const *argv)
{
  struct request q;
  const char *why_not;
  int code = EXIT_USAGE;

  if (request_parse(&q, argc, argv, &why_not) == 0 && !q.wants_help && run[q.verb])
    code = run[q.verb](v, &q);
  else
    inspect_say(v, 1, "usage: heloise queue %s\nheloise: %s\n",
                q.verb == REQUEST_VERBS ? "VERB" : request_usage(q.verb), why_not);
  request_free(&q);
  return code;
}
