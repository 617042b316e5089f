/* offers_report.c - `heloise peers report`: greetings that changed in the last day
 *
 * Runs as its caller; reads state/offers itself. */
#include "deliver/offers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/units.h"
#include "common/verbs.h"
#include "common/verdict.h"

struct listing {
  uint64_t now;
  int is_json;
  size_t known, changed;
  stralloc out; /* bound: a few lines for each of 65536 hosts */
};

/* a change of the last day; of hosts that are new only what is out of the ordinary */
static int is_told(const struct listing *l, const struct offers_card *c)
{
  if (c->changed + OFFERS_DAY < l->now)
    return 0;
  return c->before.at != 0 || c->now.rung == OFFERS_HELO || c->now.banner >= OFFERS_SLOW;
}

static uint32_t lost(const struct offers_card *c)
{
  return c->before.at && c->now.rung == OFFERS_EHLO ? c->before.verbs & ~c->now.verbs : 0;
}

static uint32_t gained(const struct offers_card *c)
{
  return c->before.at && c->before.rung == OFFERS_EHLO ? c->now.verbs & ~c->before.verbs : 0;
}

/* ---- text */

static const char *time_text(uint64_t t)
{
  static stralloc s;

  return stralloc_copys(&s, "") && units_format_time(&s, t) == 0 && stralloc_0(&s) ? s.s : "?";
}

static void print_verbs(const char *what, uint32_t set)
{
  int n = 0;

  for (int i = 0; i < VERB_COUNT; i++)
    if (set & (1U << i))
      printf("%s%s", n++ ? ", " : what, verb_keyword((enum verb_number)i));
  if (n)
    printf("\n");
}

static void print_change(const struct offers_card *c)
{
  char peer[IP_PORT_TEXT];

  ip_port_format(peer, &c->ip, c->port);
  printf("%s, %s\n", c->host, peer);
  printf("  changed at %s\n", time_text(c->changed));
  if (c->now.rung == OFFERS_HELO && c->before.rung != OFFERS_HELO)
    printf("  EHLO does not work there; HELO does%s\n", c->before.at ? " (EHLO did before)" : "");
  if (c->now.rung == OFFERS_EHLO && c->before.rung == OFFERS_HELO)
    printf("  EHLO works there now\n");
  print_verbs("  no longer offers ", lost(c));
  print_verbs("  now offers ", gained(c));
  if (c->now.banner >= OFFERS_SLOW)
    printf("  its banner took %u s\n", (unsigned int)(c->now.banner / 1000));
  else if (c->before.banner >= OFFERS_SLOW)
    printf("  its banner is no longer slow\n");
}

/* ---- JSON */

static json_t *verbs_json(uint32_t set)
{
  json_t *list = json_array();

  for (int i = 0; i < VERB_COUNT; i++)
    if (set & (1U << i))
      json_array_append_new(list, json_string(verb_keyword((enum verb_number)i)));
  return list;
}

static json_t *seen_json(const struct offers_seen *s)
{
  if (s->at == 0)
    return json_null();
  return json_pack("{s:o,s:s,s:o,s:I}", "at", json_time(s->at), "greeting",
                   offers_rung_word((enum offers_rung)s->rung), "offers", verbs_json(s->verbs),
                   "banner_ms", (json_int_t)s->banner);
}

static int add_json(struct listing *l, const struct offers_card *c)
{
  char address[IP_TEXT];

  ip_format(address, &c->ip);
  return json_line(&l->out, json_pack("{s:s,s:s,s:i,s:o,s:o,s:o,s:o,s:o}", "host", c->host,
                                      "address", address, "port", (int)c->port, "changed",
                                      json_time(c->changed), "lost", verbs_json(lost(c)), "gained",
                                      verbs_json(gained(c)), "before", seen_json(&c->before), "now",
                                      seen_json(&c->now)));
}

static int add(void *arg, const struct offers_card *c)
{
  struct listing *l = arg;

  l->known++;
  if (!is_told(l, c))
    return 0;
  l->changed++;
  if (l->is_json)
    return add_json(l, c);
  print_change(c);
  return 0;
}

int offers_report(const struct instance *i, int is_json)
{
  struct listing l = {.now = (uint64_t)time(NULL), .is_json = is_json};
  int dir = open(i->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
  struct offers *o = dir < 0 ? NULL : offers_read(dir);

  if (!o && errno != ENOENT) {
    fprintf(stderr, "heloise: peers: %s\n", strerror(errno));
    return EXIT_NOPERM;
  }
  if (o)
    r = offers_each(o, add, &l);
  offers_close(o);
  if (dir >= 0)
    close(dir);
  if (is_json)
    fwrite(l.out.s ? l.out.s : "", 1, l.out.len, stdout);
  else
    printf("%s%zu greeting%s changed within a day, of %zu host%s known.\n", l.changed ? "\n" : "",
           l.changed, l.changed == 1 ? "" : "s", l.known, l.known == 1 ? "" : "s");
  free(l.out.s);
  return r == 0 && fflush(stdout) == 0 ? EXIT_OK : EXIT_IOERR;
}
