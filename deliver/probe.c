/* probe.c - `heloise probe`: climbs the ladder against a live peer and tells what it saw
 *
 * Runs as its caller; as root it becomes hldeliver, and before the first byte from the network
 * it is confined like an attempt. It greets as an attempt would, without peer memory, and says
 * QUIT where an attempt says MAIL; with a message where an attempt says DATA. Peers and DNS answers are hostile; what is shown is escaped. */
#include "deliver/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/json.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/tls.h"
#include "common/verbs.h"
#include "common/verdict.h"
#include "deliver/client.h"
#include "deliver/probe_dns.h"
#include "deliver/probe_envelope.h"
#include "deliver/probe_message.h"
#include "queue/destination.h"
#include "queue/dialogue.h"

#define ID "probe" /* of the dialogue, which is read back here */

struct probe {
  struct nexthop hop;
  stralloc rule;     /* a sentence: what chose the next hop */
  struct table *table;
  int ask;           /* to the resolver, or -1 */
  struct probe_message message;
  json_t *json;      /* the answer so far; NULL: as text */
  size_t greeted, tried;
  size_t others;     /* hosts after the one at hand */
};

static int complain(const char *what, const char *why, int code)
{
  stralloc s = {0};

  if (log_escape(&s, what, strlen(what)) == 0 && stralloc_0(&s))
    fprintf(stderr, "heloise: probe: %s: %s\n", s.s, why);
  free(s.s);
  return code;
}

static const char *clean(const char *s)
{
  static stralloc buf; /* bound: a reply */

  return stralloc_copys(&buf, "") && log_escape(&buf, s, strlen(s)) == 0 && stralloc_0(&buf) ? buf.s
                                                                                             : "?";
}

/* ---- what was said */

static int print_head(void *arg, const struct dialogue_attempt *a)
{
  (void)arg;
  (void)a;
  return 0;
}

static int print_line(void *arg, const struct dialogue_line *l)
{
  (void)arg;
  printf("%6llu.%03llu %c %s\n", (unsigned long long)(l->ms / 1000),
         (unsigned long long)(l->ms % 1000), l->who, l->text);
  return fflush(stdout);
}

static int add_line(void *arg, const struct dialogue_line *l)
{
  const char *from = l->who == DIALOGUE_PEER ? "peer" : l->who == DIALOGUE_US ? "us" : "event";

  return json_array_append_new(arg, json_pack("{s:I,s:s,s:o}", "ms", (json_int_t)l->ms, "from",
                                              from, "text", json_bytes(l->text)));
}

static void read_lines(const char *s, size_t len, const struct dialogue_reader *r)
{
  const struct dialogue_attempt a = {ID, 0, 1, ""};
  stralloc record = {0};

  if (dialogue_head(&record, &a) == 0 && stralloc_catb(&record, s, len))
    dialogue_each(record.s, record.len, ID, r);
  free(record.s);
}

static void print_at_once(const char *line, size_t len)
{
  const struct dialogue_reader r = {print_head, print_line, NULL};

  read_lines(line, len, &r);
}

/* ---- what it means, as text */

static void print_offers(const struct session *s)
{
  int n = 0;

  printf("It was greeted on rung %s.", ladder_rung_word(s->reached));
  if (s->facts & IF_TLS)
    printf(" It speaks %s; %s.", s->encryption, clean(s->certificate));
  for (int i = 0; i < VERB_COUNT; i++)
    if (s->ehlo.verbs & (1U << i)) {
      printf("%s %s", n++ ? "," : " Of what it offers we know", verb_keyword((enum verb_number)i));
      if (i == VERBN_SIZE && s->ehlo.size)
        printf(" (%llu bytes)", (unsigned long long)s->ehlo.size);
    }
  printf("%s\n", n ? "." : " It offers nothing we know.");
  for (int i = 0; i < VERB_COUNT; i++)
    if (s->ehlo.verbs & s->off & (1U << i))
      printf("%s is not used: table peers says so.\n", verb_keyword((enum verb_number)i));
}

static void print_fit(const struct probe_fits *f)
{
  static const char *const eightbit[] = {
    [FIT_NOT_NEEDED] = "It is 7-bit text.", [FIT_YES] = "Its 8-bit text goes as it is.",
    [FIT_NO] = "Its 8-bit text does not go as it is."};
  static const char *const utf8[] = {
    [FIT_NOT_NEEDED] = "", [FIT_YES] = " It needs SMTPUTF8 and may have it.",
    [FIT_NO] = " It needs SMTPUTF8, which is not offered: it is not sent here."};

  printf("The message is %llu bytes: ", (unsigned long long)f->bytes);
  if (f->size == FIT_NO)
    printf("too many, it is not sent here. ");
  else
    printf("%s. ", f->limit ? "it fits" : "no limit is declared");
  printf("%s%s%s%s%s\n", eightbit[f->eightbit], *f->content ? " Its content: " : "", f->content,
         *f->content ? "." : "", utf8[f->utf8]);
}

static void print_end(const struct probe *p, const struct session *s)
{
  struct probe_fits f;

  if (s->reached == RUNG_COUNT) {
    printf("No mail would be sent there: %s %.*s\n\n", s->status, (int)s->text.len,
           s->text.len ? s->text.s : "");
    return;
  }
  print_offers(s);
  if (p->message.fd >= 0) {
    probe_message_fit(&p->message, s, &f);
    print_fit(&f);
    probe_envelope_print(&p->message, s);
  }
  printf("\n");
}

/* ---- the same as JSON */

static json_t *offers_json(const struct session *s)
{
  json_t *list = json_array();

  for (int i = 0; i < VERB_COUNT; i++)
    if (s->ehlo.verbs & (1U << i))
      json_array_append_new(list, json_string(verb_keyword((enum verb_number)i)));
  return list;
}

static json_t *fit_json(const struct probe *p, const struct session *s)
{
  static const char *const words[] = {
    [FIT_NOT_NEEDED] = "not needed", [FIT_YES] = "yes", [FIT_NO] = "no"};
  struct probe_fits f;

  probe_message_fit(&p->message, s, &f);
  return json_pack("{s:I,s:s,s:s,s:s,s:s}", "bytes", (json_int_t)f.bytes, "size", words[f.size],
                   "eightbit", words[f.eightbit], "content", f.content, "smtputf8", words[f.utf8]);
}

/* the first line the peer said on its last connection */
static const char *banner(const json_t *lines)
{
  const char *found = NULL;

  for (size_t i = 0; i < json_array_size(lines); i++) {
    const json_t *l = json_array_get(lines, i);
    const char *from = json_string_value(json_object_get(l, "from"));
    const char *text = json_string_value(json_object_get(l, "text"));
    if (strcmp(from, "event") == 0 && strncmp(text, "connecting to ", 14) == 0)
      found = NULL;
    else if (strcmp(from, "peer") == 0 && !found)
      found = text;
  }
  return found;
}

static json_t *end_json(const struct probe *p, const struct session *s, const struct attempt *a)
{
  json_t *o = json_object(), *lines = json_array();
  const struct dialogue_reader r = {print_head, add_line, lines};
  const char *first;

  read_lines(a->spoken.text.s ? a->spoken.text.s : "", a->spoken.text.len, &r);
  first = banner(lines);
  json_object_set_new(o, "host", json_bytes(s->target->host));
  json_object_set_new(o, "address", json_string(s->address));
  json_object_set_new(o, "port", json_integer(s->target->port));
  json_object_set_new(o, "banner", first ? json_bytes(first) : json_null());
  json_object_set_new(o, "greeted", json_boolean(s->reached != RUNG_COUNT));
  if (s->reached != RUNG_COUNT) {
    json_object_set_new(o, "rung", json_string(ladder_rung_word(s->reached)));
    json_object_set_new(o, "tls", s->facts & IF_TLS ? json_string(s->encryption) : json_null());
    if (s->facts & IF_TLS)
      json_object_set_new(o, "certificate", json_bytes(s->certificate));
    json_object_set_new(o, "offers", offers_json(s));
    json_object_set_new(o, "size_limit", json_integer((json_int_t)s->ehlo.size));
    if (p->message.fd >= 0)
      json_object_set_new(o, "message", fit_json(p, s));
    if (p->message.n > 0)
      json_object_set_new(o, "envelope", probe_envelope_json(&p->message, s));
  } else {
    char *why = strndup(s->text.len ? s->text.s : "", s->text.len);
    json_object_set_new(o, "status", json_string(s->status));
    json_object_set_new(o, "why", json_bytes(why ? why : ""));
    free(why);
  }
  json_object_set_new(o, "dialogue", lines);
  return o;
}

/* DNS has no answer to climb with; why names what was asked for */
static void tell_trouble(struct probe *p, const char *why)
{
  if (p->json)
    json_array_append_new(json_object_get(p->json, "errors"), json_bytes(why));
  complain("DNS", clean(why), 0);
}

/* ---- climbing */

static void try_one(struct probe *p, const struct target *t, size_t others)
{
  static struct session s;
  const struct attempt_given g = {.id = ID, .message = p->message.fd, .ask = -1, .report = -1,
                                  .table = p->table};
  struct attempt a = {.given = &g, .env = p->message.e, .n = p->message.n,
                      .recipient = p->message.recipient, .eight = p->message.eight,
                      .others = others, .now = (uint64_t)time(NULL), .is_probe = 1};

  spoken_start(&a.spoken, -1);
  if (!p->json)
    a.spoken.live = print_at_once;
  p->tried++;
  probe_envelope_reset(&p->message);
  client_try(&s, &a, t);
  client_leave(&s);
  p->greeted += s.reached != RUNG_COUNT;
  if (p->json)
    json_array_append_new(json_object_get(p->json, "addresses"), end_json(p, &s, &a));
  else
    print_end(p, &s);
  spoken_free(&a.spoken);
}

static void try_host(struct probe *p, const char *host, unsigned int preference, int is_mx)
{
  struct target t = {.port = p->hop.port ? p->hop.port : (uint16_t)settings.smtp_port,
                     .preference = (uint16_t)preference};
  struct ip ip[MX_ADDRESSES_MAX];
  const char *status = "";
  char text[IP_TEXT];
  stralloc why = {0};
  size_t n = 0;
  enum verdict v = mx_addresses(p->ask, host, (int)settings.timeout_dns, ip, &n, &status, &why);

  snprintf(t.host, sizeof t.host, "%s", host);
  if (!p->json && is_mx)
    printf("Mail exchanger %s, preference %u.\n", clean(host), preference);
  if (v != V_OK)
    tell_trouble(p, stralloc_0(&why) ? why.s : status);
  for (size_t i = 0; v == V_OK && !p->json && i < n; i++) {
    ip_format(text, &ip[i]);
    printf("%s%s%s", i ? ", " : "Its addresses: ", text, i + 1 == n ? ".\n\n" : "");
  }
  for (size_t i = 0; v == V_OK && i < n && p->tried < settings.attempt_addresses; i++) {
    t.ip = ip[i];
    try_one(p, &t, p->others + n - i - 1);
  }
  free(why.s);
}

static int try_exchangers(struct probe *p)
{
  static struct mx_list list;
  const char *status = "";
  stralloc why = {0};
  enum verdict v = mx_find(p->ask, p->hop.host, (int)settings.timeout_dns, &list, &status, &why);

  if (v != V_OK)
    tell_trouble(p, stralloc_0(&why) ? why.s : status);
  for (size_t i = 0; v == V_OK && i < list.n && p->tried < settings.attempt_addresses; i++) {
    p->others = list.n - i - 1;
    try_host(p, list.host[i].name, list.host[i].preference, !list.is_implicit);
  }
  free(why.s);
  return v == V_TEMP ? EXIT_TEMPFAIL : EXIT_UNAVAILABLE;
}

static int climb(struct probe *p)
{
  int code = EXIT_UNAVAILABLE;

  if (p->hop.kind == HOP_MX)
    code = try_exchangers(p);
  else
    try_host(p, p->hop.host, 0, 0);
  return p->greeted > 0 ? EXIT_OK : code;
}

/* ---- what is asked */

/* an address, with a port or without one: 0, or -1 */
static int read_address(struct nexthop *hop, const char *what)
{
  struct ip ip;

  if (ip_parse(what, strlen(what), &ip) != 0 &&
      ip_port_parse(what, strlen(what), &ip, &hop->port) != 0)
    return -1;
  hop->kind = HOP_HOST;
  ip_format(hop->host, &ip);
  return 0;
}

/* an address, "HOST:PORT", or a domain with its route. 0, or an exit code after a complaint */
static int read_peer(struct probe *p, const char *what)
{
  stralloc address = {0}, text = {0};
  const char *why = "it is no DOMAIN and no HOST:PORT", *unused;
  int r = EXIT_OK;

  if (strlen(what) > HOP_HOST_MAX || strchr(what, '@'))
    return complain("the peer", why, EXIT_USAGE);
  if (read_address(&p->hop, what) == 0)
    return EXIT_OK;
  if (strchr(what, ':')) {
    if (route_parse(what, strlen(what), "", 0, &p->hop, &unused) != 0 || p->hop.kind != HOP_HOST)
      return complain(what, why, EXIT_USAGE);
    return EXIT_OK;
  }
  if (!stralloc_copys(&address, "postmaster@") || !stralloc_cats(&address, what) ||
      !stralloc_0(&address) || destination_of(p->table, address.s, &p->hop, &text, &p->rule) != 0)
    r = complain(what, "out of memory", EXIT_OSERR);
  else if (p->hop.kind != HOP_MX && p->hop.kind != HOP_HOST)
    r = complain(what, *text.s ? text.s : "nothing to probe", EXIT_UNAVAILABLE);
  free(address.s);
  free(text.s);
  return r;
}

static int load(const struct instance *i, struct probe *p)
{
  int fd = instance_open_tables(i);
  const char *bad;

  p->table = fd < 0 ? NULL : table_open(fd);
  if (!p->table)
    return complain(i->control, strerror(errno), errno == EACCES ? EXIT_NOPERM : EXIT_CONFIG);
  if (settings_load(p->table, &bad) != 0)
    return complain("setting", bad, EXIT_CONFIG);
  return 0;
}

/* nothing but this process' sockets is within reach from here on */
static int confine(void)
{
  struct confine_ids ids;

  if (geteuid() == 0 &&
      ((confine_ids_find("hldeliver", &ids) != 0 && confine_ids_find("nobody", &ids) != 0) ||
       confine_become(&ids) != 0))
    return -1;
  return confine_attempt();
}

static int run(struct probe *p, const char *what)
{
  const char *why = "";
  struct ip ip;
  int code;

  if (tls_client_prepare(&why) != 0)
    complain("TLS, going on without", why, 0);
  p->ask = ip_parse(p->hop.host, strlen(p->hop.host), &ip) == 0 ? -1 : probe_dns();
  if (confine() != 0)
    return complain("confine", strerror(errno), EXIT_OSERR);
  if (p->json) {
    json_object_set_new(p->json, "asked", json_bytes(what));
    json_object_set_new(p->json, "rule", json_bytes(p->rule.len ? p->rule.s : ""));
    json_object_set_new(p->json, "addresses", json_array());
    json_object_set_new(p->json, "errors", json_array());
  } else if (p->rule.len)
    printf("%s: %s.\n", clean(what), p->rule.s);
  code = climb(p);
  if (p->json) {
    stralloc out = {0};
    if (json_line(&out, p->json) != 0 || fwrite(out.s, 1, out.len, stdout) != out.len)
      code = EXIT_IOERR;
    free(out.s);
  }
  return fflush(stdout) == 0 ? code : EXIT_IOERR;
}

static int usage(void)
{
  fprintf(stderr, "usage: heloise probe DOMAIN|HOST:PORT [--json]\n"
                  "       [--message ID|FILE [--sender ADDRESS] [--recipient ADDRESS]...]\n");
  return EXIT_USAGE;
}

int probe_command(const struct instance *i, int argc, char **argv)
{
  struct probe p = {.ask = -1, .message.fd = -1};
  struct probe_envelope e = {0};
  const char *what = NULL, *message = NULL;
  int r, is_json = 0;

  for (int a = 1; a < argc; a++) {
    if (strcmp(argv[a], "--json") == 0)
      is_json = 1;
    else if (strcmp(argv[a], "--message") == 0 && a + 1 < argc && !message)
      message = argv[++a];
    else if (strcmp(argv[a], "--sender") == 0 && a + 1 < argc && !e.sender)
      e.sender = argv[++a];
    else if (strcmp(argv[a], "--recipient") == 0 && a + 1 < argc && e.n < PROBE_RECIPIENTS)
      e.recipient[e.n++] = argv[++a];
    else if (argv[a][0] != '-' && argv[a][0] && !what)
      what = argv[a];
    else
      return usage();
  }
  if (!what || (!message && (e.sender || e.n > 0)))
    return usage();
  p.json = is_json ? json_object() : NULL;
  r = load(i, &p);
  if (r == 0 && message)
    r = probe_message_open(i, message, &p.message);
  if (r == 0)
    r = read_peer(&p, what);
  if (r == 0 && message)
    r = probe_envelope_set(&e, p.rule.len ? what : NULL, &p.message);
  return r == 0 ? run(&p, what) : r;
}
