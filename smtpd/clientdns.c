/* clientdns.c - what DNS says of a client: its name, and the lists it is on
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. Answers are hostile; dnsanswers.c reads
 * them. How many clients are asked about at once is bounded: others wait their turn, on the same
 * clock. */
#include "smtpd/clientdns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dnslist.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "smtpd/asklink.h"
#include "smtpd/dnsanswers.h"

#define CLIENTS_AT_ONCE 256
#define ANSWERS_MAX 16         /* addresses of one answer that are looked at */
#define TELL_AGAIN_MS 3600000  /* about a list that does not answer */

struct zone {
  char name[DNSLIST_NAME_MAX - DNSLIST_LABELS + 1];
  char url[DNSANSWERS_TEXT];
  struct dnslist list;
  uint64_t told;
};

/* the lists of one state of the tables; lives as long as a question about one of them */
struct zones {
  size_t users, n;
  struct zone zone[JUDGE_HITS];
};

struct list_question {
  struct asked asked; /* first */
  struct clientdns *of;
  size_t zone;
  int weight, is_text;
  char text[DNSANSWERS_TEXT];
};

struct name_question {
  struct asked asked; /* first */
  struct clientdns *of;
  size_t number;
};

/* what is needed while questions are open */
struct inquiry {
  struct zones *zones;
  size_t lists;
  struct name_question ptr, name[DNSANSWERS_NAMES];
  char names[DNSANSWERS_NAMES][ASK_NAME_MAX + 1];
  int is_verified[DNSANSWERS_NAMES];
  size_t nnames, lists_open, names_open;
  int asks_name, has_failed; /* of the questions about its name */
  struct list_question list[];
};

struct clientdns {
  struct loop_timer timer; /* first */
  struct ip ip;
  void (*found)(void *owner);
  void *owner;
  struct inquiry *inquiry; /* NULL: all is there */
  struct judge_dns *result;
  struct clientdns *next, *before; /* in the line for a turn */
  int is_in_line, is_asking;
};

static struct zones *zones;
static int has_host_keys;
static struct clientdns *first, *last;
static size_t asking;

/* ---- tables */

static void let_go(struct zones *z)
{
  if (z && --z->users == 0)
    free(z);
}

static int add_zone(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  struct zones *z = arg;
  struct zone *zone = &z->zone[z->n];
  const char *why;

  if (z->n == JUDGE_HITS) {
    log_warning("smtpd", "table dnslists has more than 24 lines: the others are not asked");
    return 1;
  }
  if (keylen >= sizeof zone->name || dnslist_parse(v->s, v->len, &zone->list, &why) != 0)
    return 0;
  memcpy(zone->name, key, keylen);
  zone->name[keylen] = 0;
  snprintf(zone->url, sizeof zone->url, "%.*s", (int)zone->list.urllen, zone->list.url);
  zone->told = 0;
  z->n++;
  return 0;
}

static int is_host_key(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  (void)arg;
  (void)v;
  return keylen > 5 && memcmp(key, "host:", 5) == 0;
}

int clientdns_tables(const struct table *t)
{
  struct zones *z = calloc(1, sizeof *z);

  if (!z)
    return -1;
  z->users = 1;
  table_each(t, "dnslists", add_zone, z);
  let_go(zones);
  zones = z;
  has_host_keys = table_each(t, "access", is_host_key, NULL) != 0;
  return 0;
}

/* ---- the end of questions */

static void take_turn(void);

static void leave_line(struct clientdns *c)
{
  if (!c->is_in_line)
    return;
  if (c->before)
    c->before->next = c->next;
  else
    first = c->next;
  if (c->next)
    c->next->before = c->before;
  else
    last = c->before;
  c->is_in_line = 0;
}

static void stop_asking(struct clientdns *c)
{
  struct inquiry *q = c->inquiry;

  leave_line(c);
  loop_timer_stop(&c->timer);
  if (!q)
    return;
  for (size_t i = 0; i < q->lists; i++)
    asklink_drop(&q->list[i].asked);
  for (size_t i = 0; i < DNSANSWERS_NAMES; i++)
    asklink_drop(&q->name[i].asked);
  asklink_drop(&q->ptr.asked);
  let_go(q->zones);
  free(q);
  c->inquiry = NULL;
  asking -= (size_t)c->is_asking;
  c->is_asking = 0;
}

/* the URL with %a in it replaced */
static void put_url(char out[DNSANSWERS_TEXT], const char *url, const char *address)
{
  const char *hole = strstr(url, "%a");

  if (hole)
    snprintf(out, DNSANSWERS_TEXT, "see %.*s%s%s", (int)(hole - url), url, address, hole + 2);
  else
    snprintf(out, DNSANSWERS_TEXT, "see %s", url);
}

static void put_hits(const struct clientdns *c, struct judge_dns *r)
{
  const struct inquiry *q = c->inquiry;
  char address[IP_TEXT];

  ip_format(address, &c->ip);
  for (size_t i = 0; i < q->lists; i++) {
    const struct zone *z = &q->zones->zone[q->list[i].zone];
    struct judge_hit *h = &r->hit[r->n];
    if (q->list[i].weight == 0)
      continue;
    strcpy(h->zone, z->name);
    h->weight = q->list[i].weight;
    if (*q->list[i].text)
      strcpy(h->text, q->list[i].text);
    else if (*z->url)
      put_url(h->text, z->url, address);
    r->n++;
  }
}

static void put_host(const struct clientdns *c, struct judge_dns *r)
{
  const struct inquiry *q = c->inquiry;

  r->is_for_access = has_host_keys;
  if (!q->asks_name)
    return;
  r->host_is = q->has_failed || q->names_open > 0 ? HOST_UNSURE : HOST_UNKNOWN;
  for (size_t i = 0; i < q->nnames && r->host_is != HOST_VERIFIED; i++)
    if (q->is_verified[i]) {
      r->host_is = HOST_VERIFIED;
      strcpy(r->host, q->names[i]);
    }
}

static void log_result(const struct clientdns *c, const struct judge_dns *r)
{
  static const char *const words[] = {[HOST_UNASKED] = NULL, [HOST_UNKNOWN] = "unknown",
                                      [HOST_UNSURE] = "unsure"};
  char address[IP_TEXT], lists[1000] = "";
  size_t len = 0;
  long score = 0;
  char number[24];

  for (size_t i = 0; i < r->n; i++) {
    int n = snprintf(lists + len, sizeof lists - len, "%s%s=%d", i ? " " : "", r->hit[i].zone,
                     r->hit[i].weight);
    len += n > 0 && (size_t)n < sizeof lists - len ? (size_t)n : 0;
    lists[len] = 0;
    score += r->hit[i].weight;
  }
  if (r->n == 0 && r->host_is == HOST_UNASKED)
    return;
  ip_format(address, &c->ip);
  snprintf(number, sizeof number, "%ld", score);
  log_client_looked_up(address, r->host_is == HOST_VERIFIED ? r->host : words[r->host_is], number,
                       lists);
}

/* everything is answered, or the time is up */
static void finish(struct clientdns *c)
{
  size_t hits = 0;

  for (size_t i = 0; i < c->inquiry->lists; i++)
    hits += c->inquiry->list[i].weight != 0;
  c->result = calloc(1, sizeof *c->result + hits * sizeof *c->result->hit);
  if (c->result) {
    put_host(c, c->result);
    put_hits(c, c->result);
    log_result(c, c->result);
  }
  stop_asking(c);
  take_turn();
  c->found(c->owner);
}

static void look_whether_done(struct clientdns *c)
{
  const struct inquiry *q = c->inquiry;

  if (q->lists_open == 0 && q->names_open == 0)
    finish(c);
}

static void on_timer(struct loop_timer *t)
{
  struct clientdns *c = (struct clientdns *)t;

  finish(c);
}

/* ---- lists */

static void complain(struct zone *z, const char *why, const char *note)
{
  if (z->told != 0 && loop_now() - z->told < TELL_AGAIN_MS)
    return;
  z->told = loop_now() + 1;
  log_dnslist_silent(z->name, why, note);
}

static void on_text(struct list_question *q, enum ask_status s, const char *records, size_t len)
{
  if (s == ASK_OK)
    dnsanswers_text(records, len, q->text);
  q->of->inquiry->lists_open--;
}

static void ask_text(struct list_question *q, const struct zone *z)
{
  char name[DNSLIST_NAME_MAX + 1];

  q->is_text = 1;
  if (dnslist_name(name, &q->of->ip, z->name) == 0 && asklink_ask(&q->asked, name, "TXT") == 0)
    q->of->inquiry->lists_open++;
}

static void on_weight(struct list_question *q, enum ask_status s, const char *records, size_t len)
{
  struct zone *z = &q->of->inquiry->zones->zone[q->zone];
  struct ip answer[ANSWERS_MAX];
  size_t n = s == ASK_OK ? dnsanswers_addresses(records, len, answer, ANSWERS_MAX) : 0;
  char text[IP_TEXT];

  q->of->inquiry->lists_open--;
  if (s == ASK_FAILED)
    complain(z, "no answer", "counts nothing");
  for (size_t i = 0; i < n; i++)
    if (dnslist_is_complaint(&answer[i])) {
      ip_format(text, &answer[i]);
      complain(z, "it does not answer this host", text);
    }
  q->weight = dnslist_weigh(&z->list, answer, n);
  if (q->weight > 0 && z->list.wants_txt)
    ask_text(q, z);
}

static void on_list(struct asked *a, enum ask_status s, const char *records, size_t len)
{
  struct list_question *q = (struct list_question *)a;
  struct clientdns *c = q->of;

  if (q->is_text)
    on_text(q, s, records, len);
  else
    on_weight(q, s, records, len);
  look_whether_done(c);
}

static void ask_lists(struct clientdns *c)
{
  struct inquiry *q = c->inquiry;
  char name[DNSLIST_NAME_MAX + 1];

  for (size_t i = 0; i < q->lists; i++) {
    struct list_question *l = &q->list[i];
    l->asked.answered = on_list;
    l->of = c;
    l->zone = i;
    if (dnslist_name(name, &c->ip, q->zones->zone[i].name) == 0 &&
        asklink_ask(&l->asked, name, "A") == 0)
      q->lists_open++;
  }
}

/* ---- its name */

static void on_address(struct asked *a, enum ask_status s, const char *records, size_t len)
{
  struct name_question *n = (struct name_question *)a;
  struct clientdns *c = n->of;
  struct ip answer[ANSWERS_MAX];
  size_t count = s == ASK_OK ? dnsanswers_addresses(records, len, answer, ANSWERS_MAX) : 0;

  c->inquiry->has_failed |= s == ASK_FAILED;
  for (size_t i = 0; i < count; i++)
    c->inquiry->is_verified[n->number] |= ip_equal(&answer[i], &c->ip);
  c->inquiry->names_open--;
  look_whether_done(c);
}

static void on_ptr(struct asked *a, enum ask_status s, const char *records, size_t len)
{
  struct clientdns *c = ((struct name_question *)a)->of;
  struct inquiry *q = c->inquiry;

  q->has_failed |= s == ASK_FAILED;
  q->nnames = s == ASK_OK ? dnsanswers_names(records, len, q->names) : 0;
  for (size_t i = 0; i < q->nnames; i++) {
    q->name[i] = (struct name_question){{.answered = on_address}, c, i};
    if (asklink_ask(&q->name[i].asked, q->names[i], c->ip.family == 4 ? "A" : "AAAA") == 0)
      q->names_open++;
    else
      q->has_failed = 1;
  }
  q->names_open--;
  look_whether_done(c);
}

static void ask_name(struct clientdns *c)
{
  struct inquiry *q = c->inquiry;
  char name[DNSLIST_NAME_MAX + 1];

  q->ptr = (struct name_question){{.answered = on_ptr}, c, 0};
  if (dnslist_name(name, &c->ip, c->ip.family == 4 ? "in-addr.arpa" : "ip6.arpa") == 0 &&
      asklink_ask(&q->ptr.asked, name, "PTR") == 0)
    q->names_open++;
  else
    q->has_failed = 1;
}

/* ---- the beginning */

static void ask(struct clientdns *c)
{
  c->is_asking = 1;
  asking++;
  c->inquiry->names_open = 0;
  ask_lists(c);
  if (c->inquiry->asks_name)
    ask_name(c);
  if (c->inquiry->lists_open == 0 && c->inquiry->names_open == 0)
    loop_timer_in(&c->timer, 0); /* nobody to ask */
}

static void take_turn(void)
{
  while (first && asking < CLIENTS_AT_ONCE) {
    struct clientdns *c = first;
    leave_line(c);
    ask(c);
  }
}

static void join_line(struct clientdns *c)
{
  c->before = last;
  if (last)
    last->next = c;
  else
    first = c;
  last = c;
  c->is_in_line = 1;
}

struct clientdns *clientdns_begin(const struct ip *ip, int with_lists, void (*found)(void *owner),
                                  void *owner)
{
  int asks_name = has_host_keys || settings.received_host || settings.reverse_unknown_weight > 0;
  size_t lists = with_lists && zones ? zones->n : 0;
  struct clientdns *c;

  if ((lists == 0 && !asks_name) || !zones)
    return NULL;
  c = calloc(1, sizeof *c);
  if (!c)
    return NULL;
  c->inquiry = calloc(1, sizeof *c->inquiry + lists * sizeof *c->inquiry->list);
  c->timer.fire = on_timer;
  if (!c->inquiry || loop_timer_in(&c->timer, settings.dnslist_timeout) != 0) {
    free(c->inquiry);
    free(c);
    return NULL;
  }
  c->ip = *ip;
  c->found = found;
  c->owner = owner;
  c->inquiry->zones = zones;
  zones->users++;
  c->inquiry->lists = lists;
  c->inquiry->asks_name = asks_name;
  c->inquiry->names_open = (size_t)asks_name; /* until its turn comes */
  join_line(c);
  take_turn();
  return c;
}

int clientdns_is_pending(const struct clientdns *c, int for_mail)
{
  return c && c->inquiry && (!for_mail || has_host_keys);
}

const struct judge_dns *clientdns_result(const struct clientdns *c)
{
  return c ? c->result : NULL;
}

void clientdns_end(struct clientdns *c)
{
  if (!c)
    return;
  stop_asking(c);
  take_turn();
  free(c->result);
  free(c);
}
