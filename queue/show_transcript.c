/* show_transcript.c - `heloise queue show ID --transcript`: what was said in its attempts
 *
 * Runs in a child of the manager, or in the command while nothing runs. */
#include "queue/show_transcript.h"

#include "common/json.h"
#include "common/verdict.h"
#include "queue/sight.h"
#include "queue/transcript.h"

struct showing {
  const struct inspect_view *v;
  unsigned int wanted; /* 0: all */
  int is_wanted;
  size_t seen, shown;
  json_t *attempts, *lines; /* NULL: as text */
};

static int show_attempt(void *arg, const struct dialogue_attempt *a)
{
  struct showing *s = arg;

  s->seen++;
  s->is_wanted = s->wanted == 0 || s->wanted == a->number;
  if (!s->is_wanted)
    return 0;
  if (!s->attempts) {
    inspect_say(s->v, 0, "%sAttempt %u, %s, to %s\n", s->shown++ ? "\n" : "", a->number,
                sight_time(a->time), a->nexthop);
    return 0;
  }
  s->shown++;
  s->lines = json_array();
  return json_array_append_new(
    s->attempts, json_pack("{s:i,s:o,s:o,s:o}", "attempt", (int)a->number, "time",
                           json_time(a->time), "nexthop", json_bytes(a->nexthop), "lines", s->lines));
}

static int show_line(void *arg, const struct dialogue_line *l)
{
  struct showing *s = arg;
  const char *from = l->who == DIALOGUE_PEER ? "peer" : l->who == DIALOGUE_US ? "us" : "event";

  if (!s->is_wanted)
    return 0;
  if (s->lines)
    return json_array_append_new(s->lines,
                                 json_pack("{s:I,s:s,s:o}", "ms", (json_int_t)l->ms, "from", from,
                                           "text", json_bytes(l->text)));
  inspect_say(s->v, 0, "%6llu.%03llu %c %s\n", (unsigned long long)(l->ms / 1000),
              (unsigned long long)(l->ms % 1000), l->who, l->text);
  return 0;
}

int show_transcript(const struct inspect_view *v, int json, const char *id, unsigned int attempt)
{
  struct showing s = {.v = v, .wanted = attempt, .attempts = json ? json_array() : NULL};
  struct dialogue_reader r = {show_attempt, show_line, &s};

  transcript_each(v->queue_fd, id, &r);
  if (s.shown == 0) {
    json_decref(s.attempts);
    if (s.seen)
      inspect_say(v, 1, "heloise: of attempt %u of %s no transcript is kept\n", attempt, sight_clean(id));
    else
      inspect_say(v, 1, "heloise: no transcript of %s is kept\n", sight_clean(id));
    return EXIT_DATA;
  }
  if (json)
    sight_print(v, json_pack("{s:o,s:o}", "id", json_bytes(id), "attempts", s.attempts));
  return EXIT_OK;
}
