/* act_command.c - `heloise queue hold`, release, retry, remove and bounce
 *
 * Runs as the caller. A filter is turned into ids first, in a child of the manager; then the
 * manager acts on them in pieces, and mail goes on between. */
#include "queue/act_command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/verdict.h"
#include "queue/progress.h"
#include "queue/sight.h"

/* what is said: of one message, of several */
struct words {
  const char *one, *many;
};

static const struct deed {
  enum request_verb verb;
  enum act act;
  struct words done, later, nothing;
} deeds[] = {
  {REQUEST_HOLD, ACT_HOLD, {"is on hold", "are on hold"},
   {"goes on hold when its attempt ends", "go on hold when their attempts end"},
   {"was on hold already", "were on hold already"}},
  {REQUEST_RELEASE, ACT_RELEASE, {"is released", "are released"}, {"is released", "are released"},
   {"was not on hold", "were not on hold"}},
  {REQUEST_RETRY, ACT_RETRY, {"is tried again now", "are tried again now"}, {"", ""},
   {"is being tried, or about to be", "are being tried, or about to be"}},
  {REQUEST_REMOVE, ACT_REMOVE, {"was removed", "were removed"},
   {"is being tried this moment and goes when that ends",
    "are being tried this moment and go when that ends"},
   {"", ""}},
  {REQUEST_BOUNCE, ACT_BOUNCE, {"was given up", "were given up"},
   {"is being tried this moment and given up when that ends",
    "are being tried this moment and given up when that ends"},
   {"has no recipient left to give up", "have no recipients left to give up"}},
};

struct result {
  const struct choice *c;
  int is_named, json;
  size_t done, later, nothing, gone, failed;
  json_t *unknown, *broken;
};

/* ---- all of them, in pieces */

int act_on_all(struct desk *d, enum act a, const char *text, const struct choice *c,
               void (*told)(void *arg, size_t i, enum acted r), void *arg)
{
  stralloc ids = {0}, letters = {0};
  int code = EXIT_OK;

  for (size_t i = 0, n; code == EXIT_OK && i < c->n; i += n) {
    n = choice_ids(c, i, ACT_IDS / 2, &ids);
    code = n > 0 ? desk_act(d, a, ids.s, text, &letters) : EXIT_TEMPFAIL;
    if (code == EXIT_OK && strlen(letters.s) != n)
      code = EXIT_SOFTWARE;
    for (size_t k = 0; code == EXIT_OK && told && k < n; k++)
      told(arg, i + k, (enum acted)letters.s[k]);
    progress_show(i + n, c->n);
  }
  progress_clear();
  stralloc_free(&ids);
  stralloc_free(&letters);
  return code;
}

static void complain(const struct result *r, json_t *list, const char *id, const char *why)
{
  json_array_append_new(list, json_bytes(id));
  if (!r->json)
    fprintf(stderr, "heloise: message %s: %s\n", sight_clean(id), why);
}

static void tell(void *arg, size_t i, enum acted was)
{
  struct result *r = arg;
  const char *id = r->c->item[i].id;

  switch (was) {
  case ACTED_DONE:
    r->done++;
    break;
  case ACTED_LATER:
    r->later++;
    break;
  case ACTED_NOTHING:
    r->nothing++;
    break;
  case ACTED_UNKNOWN: /* one that a filter took has left since */
    r->gone++;
    if (r->is_named)
      complain(r, r->unknown, id, "no such message is in the queue");
    break;
  default:
    r->failed++;
    complain(r, r->broken, id, "its file cannot be changed; see the log");
    break;
  }
}

/* ---- which */

/* names of the old form of retry: a domain, all, or nothing at all. They are not asked about: it
 * does no harm, and sendmail -q says it too */
static int takes_old_form(const struct request *q, struct filter *f)
{
  if (q->verb != REQUEST_RETRY || filter_is_set(&q->filter) || q->args > 1)
    return 0;
  if (q->args == 0 || strcmp(q->arg[0], "all") == 0)
    return 1;
  if (store_is_id(q->arg[0], strlen(q->arg[0])) || !strchr(q->arg[0], '.'))
    return 0;
  f->domain = q->arg[0];
  return 1;
}

static int choose(struct desk *d, const struct request *q, struct choice *c, struct result *r)
{
  struct filter f = q->filter;
  int is_old = takes_old_form(q, &f);

  r->is_named = !is_old && q->args > 0 && strcmp(q->arg[0], "all") != 0;
  if (r->is_named)
    return choice_named(c, q->arg, q->args);
  /* what an administrator holds is tried when it is named, or meant as held */
  if (q->verb == REQUEST_RETRY && f.states == 0)
    f.states = FILTER_ALL_STATES & ~(unsigned int)FILTER_HOLD;
  return choice_ask(c, d, &f, NULL);
}

/* ---- what came of it */

static void say(size_t n, const struct words *w, const char *also)
{
  printf("%zu message%s %s%s.\n", n, n == 1 ? "" : "s", n == 1 ? w->one : w->many, also);
}

static void say_result(const struct deed *deed, const struct result *r, int is_up)
{
  const char *also = is_up || deed->act == ACT_HOLD || deed->act == ACT_REMOVE
                       ? ""
                       : ", as soon as Heloise runs";

  if (r->done > 0 || r->later + r->nothing + r->failed + r->gone == 0)
    say(r->done, &deed->done, also);
  if (r->later > 0)
    say(r->later, &deed->later, "");
  if (r->nothing > 0)
    say(r->nothing, &deed->nothing, "");
  if (!r->is_named && r->gone > 0)
    printf("%zu left the queue meanwhile.\n", r->gone);
}

static void print_json(const struct deed *deed, struct result *r)
{
  stralloc line = {0};
  json_t *o = json_pack("{s:s,s:I,s:I,s:I,s:O,s:O}", "act", act_word(deed->act), "done",
                        (json_int_t)r->done, "later", (json_int_t)r->later, "unchanged",
                        (json_int_t)r->nothing, "unknown", r->unknown, "failed", r->broken);

  if (json_line(&line, o) == 0)
    fwrite(line.s, 1, line.len, stdout);
  stralloc_free(&line);
}

static const struct deed *deed_of(enum request_verb verb)
{
  size_t i = 0;

  while (deeds[i].verb != verb)
    i++;
  return &deeds[i];
}

static int act(struct desk *d, const struct request *q, const struct choice *c, struct result *r)
{
  const struct deed *deed = deed_of(q->verb);
  stralloc text = {0};
  int code = act_reason(&text, q->reason) == 0 ? EXIT_OK : EXIT_TEMPFAIL;

  if (code == EXIT_OK)
    code = act_on_all(d, deed->act, text.s, c, tell, r);
  stralloc_free(&text);
  if (q->json)
    print_json(deed, r);
  else if (code == EXIT_OK)
    say_result(deed, r, d->sock >= 0);
  if (code != EXIT_OK)
    return code;
  return r->failed ? EXIT_IOERR : json_array_size(r->unknown) ? EXIT_DATA : EXIT_OK;
}

int act_command(struct desk *d, const struct request *q)
{
  struct choice c = {0};
  struct result r = {.c = &c, .json = q->json, .unknown = json_array(), .broken = json_array()};
  struct filter unused = {0};
  int code = choose(d, q, &c, &r);

  if (code == EXIT_OK && (takes_old_form(q, &unused) || choice_is_confirmed(&c, q, &code)))
    code = act(d, q, &c, &r);
  json_decref(r.unknown);
  json_decref(r.broken);
  choice_free(&c);
  return code;
}
