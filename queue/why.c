/* why.c - `heloise queue why`: why a message is still here, and what happens next
 *
 * Runs in a child of the manager, or in the command while nothing runs. */
#include "queue/why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/verdict.h"
#include "queue/destination.h"
#include "queue/notify.h"
#include "queue/sight.h"
#include "queue/story.h"

/* what is to come for a recipient; times are 0 when nothing is to come */
struct future {
  uint64_t next;     /* epoch; 0 also: now */
  uint64_t warn;     /* when the sender is to hear of the delay; 0 also: that was before */
  uint64_t warned;   /* when it heard of it; 0 also: it did not, or that is forgotten */
  uint64_t end;      /* when it goes back */
  char text[1600];   /* all of it in sentences */
};

static int is_held(const struct sight *s, const struct envelope_rcpt *r)
{
  return s->m->due == UINT32_MAX || r->next == UINT32_MAX;
}

static void times_of(const struct sight *s, const struct story *story, size_t i, struct future *f)
{
  const struct envelope_rcpt *r = &s->e.rcpt[i];
  uint64_t first = notify_first_warning(s->v->tables, &s->e);

  f->end = notify_end(s->v->tables, &s->e, i);
  f->warn = notify_warn_at(s->v->tables, &s->e, i) == NOTIFY_NEVER_DUE ? 0 : first;
  f->warned = r->is_warned ? story_told(story, notify_word(NOTIFY_DELAYED)) : 0;
  f->next = r->next > s->m->due ? r->next : s->m->due;
}

static void add(struct future *f, const char *a, const char *b, const char *c)
{
  size_t n = strlen(f->text);

  snprintf(f->text + n, sizeof f->text - n, "%s%s%s%s", n ? " " : "", a, b, c);
}

/* nothing but the destination holds it up: the daemon knows how that is */
static void add_destination(const struct sight *s, const char *nexthop, struct future *f)
{
  char text[600];

  text[0] = 0;
  if (s->v->explain)
    s->v->explain(nexthop, text);
  if (text[0])
    add(f, sight_clean(text), "", "");
}

/* the last attempt is at the end of its life, or when something runs again after that */
static int is_last(const struct future *f)
{
  return f->next >= f->end || sight_now() >= f->end;
}

static void add_return(const struct sight *s, struct future *f)
{
  char text[120] = "That is the last attempt: if it fails, the message";

  if (!is_last(f))
    snprintf(text, sizeof text, "If it is still here at %s, it", sight_time(f->end));
  add(f, text, " goes back to ", *s->e.sender ? "its sender." : "the postmaster.");
}

static void foresee(const struct sight *s, const struct story *story, size_t i,
                    const char *nexthop, struct future *f)
{
  const struct envelope_rcpt *r = &s->e.rcpt[i];

  f->text[0] = 0;
  times_of(s, story, i, f);
  if (s->m->is_active)
    f->next = 0;
  if (r->status != RCPT_TODO || is_held(s, r))
    f->next = f->warn = f->end = 0;
  if (r->status != RCPT_TODO) {
    add(f, r->status == RCPT_FAILED           ? "A failure report to the sender is being made."
           : envelope_is_closed(r->status) ? "Nothing is left to do for it."
                                           : "A report to the sender, who asked for it, is being made.",
        "", "");
    return;
  }
  if (s->m->name.state == STORE_HOLD && s->m->name.next != UINT32_MAX) {
    add(f, s->e.flags & ENVELOPE_HOLD
             ? "It was put on hold by a line of table access, or by an administrator, until `heloise queue release "
             : "An administrator holds it, until `heloise queue release ",
        s->e.id, "`.");
    return;
  }
  if (is_held(s, r)) {
    add(f, "Table routes holds it: change the route, `heloise reload`, then `heloise queue retry ",
        s->e.id, "`.");
    return;
  }
  if (s->m->is_active)
    add(f, "It is being tried now, or waits for its turn at its destination.", "", "");
  else {
    add(f, "It is tried again at ", sight_time(f->next ? f->next : s->e.created), "");
    add(f, "(", sight_when(f->next), ").");
  }
  add_destination(s, nexthop, f);
  if (r->is_warned)
    add(f, "Its sender was told of the delay", f->warned ? " at " : "", f->warned ? sight_time(f->warned) : "");
  if (r->is_warned)
    snprintf(f->text + strlen(f->text), sizeof f->text - strlen(f->text), ".");
  if (f->warn)
    add(f, "Its sender is to be told of the delay at ", sight_time(f->warn), ".");
  add_return(s, f);
}

/* when the next attempt is: what is known of a peer until then tells nothing about it */
static uint64_t next_attempt(const struct sight *s)
{
  uint64_t now = sight_now();

  return s->m->is_active || s->m->due == UINT32_MAX || s->m->due < now ? now : s->m->due;
}

/* ---- words */

static int say(void *arg, int depth, const char *sentence)
{
  const struct sight *s = arg;

  inspect_say(s->v, 0, "%s%s\n", depth ? "    " : "  ", sentence);
  return 0;
}

static void tell_rcpt(struct sight *s, const struct story *story, size_t i)
{
  static stralloc text, rule;
  const struct inspect_view *v = s->v;
  const struct envelope_rcpt *r = &s->e.rcpt[i];
  struct future f;
  struct nexthop hop;

  if (destination_of(v->tables, r->address, &hop, &text, &rule) != 0)
    return;
  foresee(s, story, i, text.s, &f);
  inspect_say(v, 0, "\n<%s>\n", sight_clean(r->address));
  inspect_say(v, 0, "  Its next hop is %s: %s.\n", sight_clean(text.s), sight_clean(rule.s));
  if (r->attempts == 0)
    inspect_say(v, 0, "  It has not been tried yet.\n");
  else
    inspect_say(v, 0, "  It was tried %u time%s.%s%s\n", r->attempts, r->attempts == 1 ? "" : "s",
                *sight_reply(s, i) ? " The last answer was: " : "", sight_reply(s, i));
  inspect_say(v, 0, "  %s\n", f.text);
}

static void tell_all(struct sight *s, const struct story *story)
{
  const struct story_teller t = {.e = &s->e, .say = say, .arg = s};
  const struct inspect_view *v = s->v;
  size_t left = 0;

  for (size_t i = 0; i < s->e.nrcpt; i++)
    left += !envelope_is_closed(s->e.rcpt[i].status);
  inspect_say(v, 0, "Message %s from <%s> came %s ago and waits in state %s for %zu of %zu recipient%s.\n",
              s->e.id, sight_clean(s->e.sender),
              sight_duration(sight_now() > s->e.created ? sight_now() - s->e.created : 0),
              sight_state_word(s->m), left, s->e.nrcpt, s->e.nrcpt == 1 ? "" : "s");
  for (size_t i = 0; i < s->e.nrcpt; i++)
    if (!envelope_is_closed(s->e.rcpt[i].status))
      tell_rcpt(s, story, i);
  inspect_say(v, 0, "\nWhat was tried:\n%s", story->n ? "" : "  Nothing yet.\n");
  story_tell(story, &t);
  story_plans(story, next_attempt(s), &t);
}

/* ---- JSON */

static int append(void *arg, int depth, const char *sentence)
{
  (void)depth;
  return json_array_append_new(arg, json_bytes(sentence));
}

static json_t *time_json(uint64_t t)
{
  return t ? json_time(t) : json_null();
}

static json_t *rcpt_json(const struct sight *s, const struct story *story, size_t i)
{
  static stralloc text, rule;
  struct nexthop hop;
  struct future f;
  json_t *r;

  if (destination_of(s->v->tables, s->e.rcpt[i].address, &hop, &text, &rule) != 0)
    return NULL;
  foresee(s, story, i, text.s, &f);
  r = json_object();
  json_object_set_new(r, "address", json_bytes(s->e.rcpt[i].address));
  json_object_set_new(r, "nexthop", json_bytes(text.s));
  json_object_set_new(r, "rule", json_bytes(rule.s));
  json_object_set_new(r, "next", time_json(f.next));
  json_object_set_new(r, "warning", time_json(f.warn));
  json_object_set_new(r, "warned", time_json(f.warned));
  json_object_set_new(r, "expires", time_json(f.end));
  json_object_set_new(r, "what_next", json_bytes(f.text));
  return r;
}

static json_t *all_json(struct sight *s, const struct story *story)
{
  json_t *o = sight_json(s), *list = json_array(), *plans = json_array();
  const struct story_teller t = {.e = &s->e, .say = append, .arg = plans};

  for (size_t i = 0; i < s->e.nrcpt; i++)
    if (!envelope_is_closed(s->e.rcpt[i].status))
      json_array_append_new(list, rcpt_json(s, story, i));
  story_plans(story, next_attempt(s), &t);
  json_object_set_new(o, "why", list);
  json_object_set_new(o, "history", story_json(story));
  json_object_set_new(o, "plans", plans);
  return o;
}

int why_show(const struct inspect_view *v, int json, const char *id)
{
  struct inspect_message m;
  struct story story = {0};
  struct sight s;
  int r = sight_look(v, id, &m, &s);

  if (r != 0)
    return r;
  history_each(s.fd, &s.e, story_note, &story);
  if (json)
    sight_print(v, all_json(&s, &story));
  else
    tell_all(&s, &story);
  story_free(&story);
  sight_close(&s);
  return EXIT_OK;
}
