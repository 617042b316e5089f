/* stats.c - `heloise queue stats`: what waits, by destination domain and age, and what was done
 *
 * Runs in a child of the manager, or in the command while nothing runs. Recipients that are
 * left are counted, as qshape does; domains are strangers' text. What was done the manager
 * has counted (tally.h); while nothing runs nobody knows. */
#include "queue/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "common/json.h"
#include "common/verdict.h"
#include "queue/sight.h"
#include "queue/tally.h"

#define AGES 10              /* 5m and its doubles, and beyond */
#define FIRST_AGE 300        /* seconds */
#define DOMAINS_MAX 200000   /* told apart; what comes later is counted as others */
#define NAME_WIDTH 30
#define BAR_LEAST 10

struct row {
  char *domain;
  unsigned long age[AGES], recipients, messages;
  unsigned long last_message; /* the one it was counted for */
  uint64_t oldest;            /* epoch */
};

struct counts {
  const struct inspect_view *v;
  struct row *row; /* by hash of the domain; bound: DOMAINS_MAX */
  size_t rows, places;
  struct row all, others;
  unsigned long state[FILTER_HOLD + 1], messages;
  uint64_t bytes;
  char oldest_id[STORE_ID_LEN + 1];
  int has_failed; /* memory is out */
};

/* ---- counting */

static size_t age_of(uint64_t created)
{
  uint64_t now = sight_now(), age = now > created ? now - created : 0;
  size_t i = 0;

  while (i < AGES - 1 && age >= (uint64_t)FIRST_AGE << i)
    i++;
  return i;
}

static struct row *place_of(struct counts *c, const char *domain)
{
  size_t i = XXH3_64bits(domain, strlen(domain)) & (c->places - 1);

  while (c->row[i].domain && strcmp(c->row[i].domain, domain) != 0)
    i = (i + 1) & (c->places - 1);
  return &c->row[i];
}

static int grow(struct counts *c)
{
  struct row *old = c->row;
  size_t had = c->places;

  c->places = had ? had * 2 : 256;
  c->row = calloc(c->places, sizeof *c->row);
  if (!c->row) {
    c->row = old;
    c->places = had;
    return -1;
  }
  for (size_t i = 0; i < had; i++)
    if (old[i].domain)
      *place_of(c, old[i].domain) = old[i];
  free(old);
  return 0;
}

static struct row *row_of(struct counts *c, const char *domain)
{
  struct row *r;

  if (c->rows * 2 >= c->places && grow(c) != 0)
    c->has_failed = 1;
  if (c->has_failed)
    return &c->others;
  r = place_of(c, domain);
  if (r->domain)
    return r;
  if (c->rows >= DOMAINS_MAX || !(r->domain = strdup(domain)))
    return &c->others;
  c->rows++;
  return r;
}

static void count_in(struct row *r, const struct counts *c, uint64_t created)
{
  r->age[age_of(created)]++;
  r->recipients++;
  if (r->last_message == c->messages)
    return;
  r->last_message = c->messages;
  r->messages++;
  if (r->oldest == 0 || created < r->oldest)
    r->oldest = created;
}

static int count_one(void *arg, struct sight *s)
{
  struct counts *c = arg;

  c->messages++;
  c->state[sight_state(s->m)]++;
  c->bytes += s->e.body_len;
  if (c->all.oldest == 0 || s->e.created < c->all.oldest)
    memcpy(c->oldest_id, s->m->name.id, sizeof c->oldest_id);
  if (c->all.oldest == 0 || s->e.created < c->all.oldest)
    c->all.oldest = s->e.created;
  for (size_t i = 0; i < s->e.nrcpt; i++) {
    char domain[256];
    if (s->e.rcpt[i].status != RCPT_TODO && s->e.rcpt[i].status != RCPT_FAILED)
      continue;
    snprintf(domain, sizeof domain, "%s", envelope_domain(s->e.rcpt[i].address));
    for (char *p = domain; *p; p++)
      *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    count_in(row_of(c, domain), c, s->e.created);
    count_in(&c->all, c, s->e.created);
  }
  return 0;
}

/* most recipients first */
static int by_recipients(const void *a, const void *b)
{
  const struct row *x = a, *y = b;

  if (x->recipients != y->recipients)
    return x->recipients < y->recipients ? 1 : -1;
  return x->domain && y->domain ? strcmp(x->domain, y->domain) : !x->domain - !y->domain;
}

static void add_row(struct row *sum, const struct row *r)
{
  for (size_t i = 0; i < AGES; i++)
    sum->age[i] += r->age[i];
  sum->recipients += r->recipients;
  sum->messages += r->messages;
  if (r->oldest && (sum->oldest == 0 || r->oldest < sum->oldest))
    sum->oldest = r->oldest;
}

/* sorts, and sums up in `others` what is beyond the first n rows. How many are shown */
static size_t arrange(struct counts *c, size_t n)
{
  size_t shown = n == 0 || n > c->rows ? c->rows : n;

  if (c->row)
    qsort(c->row, c->places, sizeof *c->row, by_recipients);
  for (size_t i = shown; i < c->rows; i++)
    add_row(&c->others, &c->row[i]);
  return shown;
}

/* ---- words */

static void age_word(char out[16], size_t i)
{
  size_t last = i == AGES - 1;

  snprintf(out, 16, "%u%s", (FIRST_AGE / 60) << (i - last), last ? "m+" : "m");
}

static void say_row(const struct counts *c, const char *name, const struct row *r, unsigned int bar)
{
  char line[512];
  size_t n = (size_t)snprintf(line, sizeof line, "%*.*s %7lu", NAME_WIDTH, NAME_WIDTH, name, r->recipients);

  for (size_t i = 0; i < AGES; i++)
    n += (size_t)snprintf(line + n, sizeof line - n, " %5lu", r->age[i]);
  if (bar && c->all.recipients) {
    size_t len = (size_t)((double)bar * (double)r->recipients / (double)c->all.recipients + 0.5);
    if (r->recipients && len == 0)
      len = 1;
    line[n++] = ' ';
    while (len-- > 0 && n < sizeof line - 1)
      line[n++] = '#';
    line[n] = 0;
  }
  inspect_say(c->v, 0, "%s\n", line);
}

/* how wide the bars may be: what is left of the terminal's width */
static unsigned int bar_width(unsigned int columns)
{
  const unsigned int used = NAME_WIDTH + 8 + AGES * 6 + 1;

  return columns >= used + BAR_LEAST ? columns - used : 0;
}

static void say_table(struct counts *c, const struct request *q, size_t shown)
{
  char line[256], word[16];
  size_t n = (size_t)snprintf(line, sizeof line, "%*s %7s", NAME_WIDTH, "", "T");

  for (size_t i = 0; i < AGES; i++) {
    age_word(word, i);
    n += (size_t)snprintf(line + n, sizeof line - n, " %5s", word);
  }
  inspect_say(c->v, 0, "%s\n", line);
  say_row(c, "TOTAL", &c->all, bar_width(q->width));
  for (size_t i = 0; i < shown; i++)
    say_row(c, *c->row[i].domain ? sight_clean(c->row[i].domain) : "(no domain)", &c->row[i],
            bar_width(q->width));
  if (c->others.recipients > 0) {
    snprintf(line, sizeof line, "(%zu others)", c->rows - shown);
    say_row(c, line, &c->others, bar_width(q->width));
  }
}

static void say_throughput(const struct inspect_view *v)
{
  if (!v->is_live) {
    inspect_say(v, 0, "\nHeloise does not run: nothing is counted of what was done.\n");
    return;
  }
  inspect_say(v, 0, "\n%-10s %10s %10s %10s  since %s\n", "", "minute", "hour", "in all", sight_time(tally_since()));
  for (int t = 0; t < TALLIES; t++) {
    struct tally_sums s;
    tally_sums((enum tally)t, &s);
    inspect_say(v, 0, "%-10s %10llu %10llu %10llu  %s\n", tally_word((enum tally)t), (unsigned long long)s.minute,
                (unsigned long long)s.hour, (unsigned long long)s.total, tally_what((enum tally)t));
  }
}

static void say_waiting(struct counts *c, const struct request *q)
{
  size_t shown = arrange(c, q->top);

  if (c->messages == 0) {
    inspect_say(c->v, 0, "Nothing waits.\n");
    return;
  }
  say_table(c, q, shown);
  inspect_say(c->v, 0,
              "\n%lu message%s (%lu new, %lu active, %lu deferred, %lu on hold), %llu bytes, "
              "%lu recipient%s left.\nThe oldest is %s, received %s ago.\n",
              c->messages, c->messages == 1 ? "" : "s", c->state[FILTER_NEW],
              c->state[FILTER_ACTIVE], c->state[FILTER_DEFERRED], c->state[FILTER_HOLD],
              (unsigned long long)c->bytes, c->all.recipients, c->all.recipients == 1 ? "" : "s",
              c->oldest_id,
              sight_duration(sight_now() > c->all.oldest ? sight_now() - c->all.oldest : 0));
}

static void say_all(struct counts *c, const struct request *q)
{
  say_waiting(c, q);
  say_throughput(c->v);
}

/* ---- JSON */

static json_t *throughput_json(const struct inspect_view *v)
{
  json_t *o = v->is_live ? json_object() : json_null();

  if (v->is_live)
    json_object_set_new(o, "since", json_time(tally_since()));
  for (int t = 0; v->is_live && t < TALLIES; t++) {
    struct tally_sums s;
    tally_sums((enum tally)t, &s);
    json_object_set_new(o, tally_word((enum tally)t),
                        json_pack("{s:I,s:I,s:I}", "minute", (json_int_t)s.minute, "hour", (json_int_t)s.hour,
                                  "total", (json_int_t)s.total));
  }
  return o;
}

static json_t *row_json(const char *name, const struct row *r)
{
  json_t *o = json_object(), *ages = json_object();
  char word[16];

  for (size_t i = 0; i < AGES; i++) {
    age_word(word, i);
    json_object_set_new(ages, word, json_integer((json_int_t)r->age[i]));
  }
  if (name)
    json_object_set_new(o, "domain", json_bytes(name));
  json_object_set_new(o, "recipients", json_integer((json_int_t)r->recipients));
  json_object_set_new(o, "messages", json_integer((json_int_t)r->messages));
  json_object_set_new(o, "oldest", r->oldest ? json_time(r->oldest) : json_null());
  json_object_set_new(o, "ages", ages);
  return o;
}

static void print_json(struct counts *c, const struct request *q)
{
  json_t *o, *list = json_array(), *states = json_object();
  size_t shown = arrange(c, q->top);

  for (unsigned int s = FILTER_NEW; s <= FILTER_HOLD; s *= 2)
    json_object_set_new(states, filter_state_word((enum filter_state)s),
                        json_integer((json_int_t)c->state[s]));
  for (size_t i = 0; i < shown; i++)
    json_array_append_new(list, row_json(c->row[i].domain, &c->row[i]));
  c->all.messages = c->messages;
  o = row_json(NULL, &c->all);
  json_object_set_new(o, "bytes", json_integer((json_int_t)c->bytes));
  json_object_set_new(o, "oldest_id", c->messages ? json_string(c->oldest_id) : json_null());
  json_object_set_new(o, "states", states);
  json_object_set_new(o, "domains", list);
  json_object_set_new(o, "others", row_json(NULL, &c->others));
  json_object_set_new(o, "throughput", throughput_json(c->v));
  sight_print(c->v, o);
}

int stats_show(const struct inspect_view *v, const struct request *q)
{
  struct counts c = {.v = v};

  sight_each(v, &q->filter, count_one, &c);
  (q->json ? print_json : say_all)(&c, q);
  for (size_t i = 0; i < c.places; i++)
    free(c.row[i].domain);
  free(c.row);
  if (c.has_failed)
    inspect_say(v, 1, "heloise: out of memory; some domains are counted as others\n");
  return EXIT_OK;
}
