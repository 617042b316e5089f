/* peers_command.c - `heloise peers list | show HOST | forget HOST`
 *
 * Runs as its caller. Reads state/peers itself; forgetting is the daemon's work while it runs,
 * and done here under the instance's lock while it does not. */
#include "deliver/peers_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/peerwords.h"
#include "common/units.h"
#include "common/verbs.h"
#include "common/verdict.h"
#include "deliver/offers.h"
#include "deliver/peers.h"
#include "queue/desk.h"

struct listing {
  stralloc out; /* bound: a few lines for each of 131072 cards */
  const struct peers *peers; /* while cards are read */
  uint64_t now;
  int is_json, has_failed;
  size_t cards;
  /* only this peer; all when has_ip is 0 */
  int has_ip;
  struct ip ip;
  uint16_t port; /* 0: any */
};

/* ---- one card */

static void cat_cell(struct listing *l, const char *s, size_t width)
{
  size_t n = strlen(s);

  l->has_failed |= !stralloc_cats(&l->out, s);
  for (; n < width; n++)
    l->has_failed |= !stralloc_cats(&l->out, " ");
}

static void cat_time(stralloc *out, uint64_t t)
{
  out->len = 0;
  if (units_format_time(out, t) != 0 || !stralloc_0(out))
    out->len = 0;
}

/* in force; over, and a message tries without it; over */
static const char *state_of(const struct listing *l, const struct peers_note *n)
{
  if (n->is_tried && n->until > l->now)
    return "tried";
  return n->until > l->now ? "in force" : "on probation";
}

/* "helo-only", "rcptmax=20" */
static void cat_fact(struct listing *l, const struct peers_card *c, const struct peers_note *n)
{
  char word[PEERS_NEWS_FACT];

  snprintf(word, sizeof word, n->fact == FACT_RCPT_MAX ? "%s=%u" : "%s",
           peers_fact_word((enum peers_fact)n->fact), (unsigned int)c->rcpt_max);
  cat_cell(l, word, 14);
}

static void text_note(struct listing *l, const char *peer, const struct peers_card *c,
                      const struct peers_note *n)
{
  struct peers_evidence e;
  stralloc when = {0};
  char count[16], code[8] = "";

  cat_cell(l, peer, 24);
  cat_cell(l, " ", 1);
  cat_fact(l, c, n);
  cat_time(&when, n->last);
  cat_cell(l, " last ", 0);
  cat_cell(l, when.len ? when.s : "?", 0);
  cat_time(&when, n->until);
  cat_cell(l, n->is_tried ? "  tried until " : n->until > l->now ? "  until " : "  ended ", 0);
  cat_cell(l, when.len ? when.s : "?", 0);
  snprintf(count, sizeof count, "  %ux  ", (unsigned int)n->count);
  cat_cell(l, count, 0);
  if (n->code)
    snprintf(code, sizeof code, " %u", (unsigned int)n->code);
  cat_cell(l, n->row, 0);
  peers_evidence(l->peers, c, (enum peers_fact)n->fact, &e);
  cat_cell(l, e.text[0] ? ": " : code, 0);
  cat_cell(l, e.text, 0);
  cat_cell(l, "\n", 0);
  free(when.s);
}

static json_t *json_note(const struct listing *l, const struct peers_card *c,
                         const struct peers_note *n)
{
  struct peers_evidence e;
  json_t *o;

  peers_evidence(l->peers, c, (enum peers_fact)n->fact, &e);
  o = json_pack("{s:s,s:b,s:s,s:o,s:o,s:o,s:i,s:s,s:o,s:s}", "fact",
                peers_fact_word((enum peers_fact)n->fact), "in_force", n->until > l->now, "state",
                state_of(l, n), "since", e.since ? json_time(e.since) : json_null(), "last",
                json_time(n->last), "until", json_time(n->until), "count", (int)n->count, "row",
                n->row, "code", n->code ? json_integer(n->code) : json_null(), "evidence", e.text);
  if (n->fact == FACT_RCPT_MAX)
    json_object_set_new(o, "value", json_integer(c->rcpt_max));
  return o;
}

static void json_card(struct listing *l, const struct peers_card *c)
{
  char address[IP_TEXT];
  json_t *facts = json_array();

  ip_format(address, &c->ip);
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++)
    if (c->note[i].fact != FACT_NONE)
      l->has_failed |= json_array_append_new(facts, json_note(l, c, &c->note[i])) != 0;
  l->has_failed |= json_line(&l->out, json_pack("{s:s,s:i,s:o}", "address", address, "port",
                                                (int)c->port, "facts", facts)) != 0;
}

static int add_card(void *arg, const struct peers_card *c)
{
  struct listing *l = arg;
  char peer[IP_PORT_TEXT];

  if (l->has_ip && (!ip_equal(&c->ip, &l->ip) || (l->port && l->port != c->port)))
    return 0;
  l->cards++;
  if (l->is_json) {
    json_card(l, c);
    return 0;
  }
  ip_port_format(peer, &c->ip, c->port);
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++)
    if (c->note[i].fact != FACT_NONE)
      text_note(l, peer, c, &c->note[i]);
  return 0;
}

/* ---- the commands */

static int complain(const char *what, int code)
{
  fprintf(stderr, "heloise: peers: %s\n", what);
  return code;
}

static int open_state(const struct instance *i)
{
  return open(i->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* adds the cards to l: 0, or an exit code after a complaint */
static int read_cards(const struct instance *i, struct listing *l)
{
  int dir = open_state(i), error;
  struct peers *p;

  if (dir < 0)
    return complain(strerror(errno), EXIT_NOPERM);
  p = peers_read(dir);
  error = errno;
  close(dir);
  if (!p && error != ENOENT)
    return complain(strerror(error), EXIT_NOPERM);
  l->peers = p;
  if (p)
    peers_each(p, add_card, l);
  peers_close(p);
  return l->has_failed ? complain("out of memory", EXIT_OSERR) : EXIT_OK;
}

static int print(struct listing *l)
{
  int ok = fwrite(l->out.s, 1, l->out.len, stdout) == l->out.len && fflush(stdout) == 0;

  return ok ? EXIT_OK : EXIT_IOERR;
}

/* "192.0.2.1", "192.0.2.1:25", "[2001:db8::1]", "[2001:db8::1]:25" */
static int read_peer(const char *s, struct ip *ip, uint16_t *port)
{
  size_t len = strlen(s);

  *port = 0;
  if (ip_parse(s, len, ip) == 0 || ip_port_parse(s, len, ip, port) == 0)
    return 0;
  return len > 2 && s[0] == '[' && s[len - 1] == ']' ? ip_parse(s + 1, len - 2, ip) : -1;
}

static int list(const struct instance *i, struct listing *l, const char *host)
{
  int r;

  (void)host;
  r = read_cards(i, l);
  return r == EXIT_OK ? print(l) : r;
}

/* what the administrator says about it counts before what is remembered */
static void add_words(const struct instance *i, struct listing *l)
{
  int fd = instance_open_tables(i);
  struct table *t = fd >= 0 ? table_open(fd) : NULL;
  struct peerwords w;

  peerwords_find(t, &l->ip, l->port, "", &w);
  if (w.says_helo || w.says_ehlo || w.off) {
    cat_cell(l, "table peers says:", 0);
    cat_cell(l, w.says_helo ? " helo" : w.says_ehlo ? " ehlo" : "", 0);
    for (int n = 0; n < VERB_COUNT; n++)
      if (w.off & (1U << n)) {
        cat_cell(l, " no-", 0);
        cat_cell(l, verb_word((enum verb_number)n), 0);
      }
    cat_cell(l, "\n", 0);
  }
  table_close(t);
  if (fd >= 0)
    close(fd);
}

static int show(const struct instance *i, struct listing *l, const char *host)
{
  int r;

  if (read_peer(host, &l->ip, &l->port) != 0)
    return complain("HOST is an address or ADDRESS:PORT", EXIT_USAGE);
  l->has_ip = 1;
  r = read_cards(i, l);
  if (r != EXIT_OK)
    return r;
  if (!l->is_json)
    add_words(i, l);
  if (l->cards == 0) {
    print(l);
    fprintf(stderr, "heloise: nothing is remembered about %s\n", host);
    return EXIT_UNAVAILABLE;
  }
  return print(l);
}

static int told(struct listing *l, unsigned long n)
{
  if (l->is_json)
    printf("{\"forgotten\":%lu}\n", n);
  else if (n == 0)
    printf("Nothing was remembered.\n");
  else
    printf("Forgot %lu peer%s.\n", n, n == 1 ? "" : "s");
  return fflush(stdout) == 0 ? EXIT_OK : EXIT_IOERR;
}

/* the daemon is down: the file is ours while we hold the lock */
static int forget_here(const struct instance *i, struct listing *l, const char *host)
{
  int lock = queue_lock(i), dir, n;
  struct peers *p;

  if (lock < 0)
    return errno == EWOULDBLOCK ? complain("the daemon is just starting; try again", EXIT_TEMPFAIL)
                                : complain(strerror(errno), EXIT_NOPERM);
  dir = open_state(i);
  p = dir < 0 ? NULL : peers_edit(dir);
  if (!p && errno != ENOENT) {
    n = errno;
    close(lock);
    if (dir >= 0)
      close(dir);
    return complain(strerror(n), EXIT_NOPERM);
  }
  n = p ? peers_forget(p, host, strlen(host)) : 0;
  peers_close(p);
  if (dir >= 0)
    close(dir);
  close(lock);
  return told(l, n < 0 ? 0 : (unsigned long)n);
}

static int forget(const struct instance *i, struct listing *l, const char *host)
{
  const char *const request[] = {"peers-forget", host};
  struct ip ip;
  uint16_t port;
  int code, r;

  if (strcmp(host, "all") != 0 && read_peer(host, &ip, &port) != 0)
    return complain("HOST is an address, ADDRESS:PORT, or all", EXIT_USAGE);
  r = queue_ask(i, 2, request, &l->out, &code);
  if (r == 0)
    return forget_here(i, l, host);
  if (r < 0)
    return complain("the daemon does not answer; try again", EXIT_TEMPFAIL);
  if (code != EXIT_OK || !stralloc_0(&l->out))
    return code != EXIT_OK ? code : EXIT_OSERR;
  return told(l, strtoul(l->out.s, NULL, 10));
}

static int report(const struct instance *i, struct listing *l, const char *host)
{
  (void)host;
  return offers_report(i, l->is_json);
}

static const struct {
  const char *word;
  int wants_host;
  int (*run)(const struct instance *i, struct listing *l, const char *host);
} commands[] = {{"list", 0, list}, {"show", 1, show}, {"forget", 1, forget}, {"report", 0, report}};

static int usage(void)
{
  fprintf(stderr, "usage: heloise peers list [--json]\n"
                  "       heloise peers show HOST [--json]\n"
                  "       heloise peers forget HOST | all [--json]\n"
                  "       heloise peers report [--json]\n");
  return EXIT_USAGE;
}

int peers_command(const struct instance *i, int argc, char **argv)
{
  struct listing l = {.now = (uint64_t)time(NULL)};
  const char *word[2] = {NULL, NULL};
  int n = 0, r;

  for (int a = 1; a < argc; a++) {
    if (strcmp(argv[a], "--json") == 0)
      l.is_json = 1;
    else if (n < 2 && argv[a][0] != '-')
      word[n++] = argv[a];
    else
      return usage();
  }
  for (size_t c = 0; n > 0 && c < sizeof commands / sizeof *commands; c++)
    if (strcmp(commands[c].word, word[0]) == 0) {
      if (n != 1 + commands[c].wants_host)
        return usage();
      r = commands[c].run(i, &l, word[1]);
      free(l.out.s);
      return r;
    }
  return usage();
}
