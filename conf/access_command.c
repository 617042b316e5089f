/* access_command.c - `heloise access test`: what would become of this client and this mail?
 *
 * Runs in `heloise`, as the caller, on the compiled tables. It plays the session itself: the same
 * code that serves the network, with nobody at the other end, so that its answer is the server's.
 * Only what depends on what the client did before, limits and rates, is not in it. */
#include "conf/access_command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/localuser.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/verdict.h"
#include "deliver/probe_dns.h"
#include "smtpd/asklink.h"
#include "smtpd/clientdns.h"
#include "smtpd/decide.h"

#define ARGUMENT_MAX 1000

struct trial {
  const struct table *table;
  const char *client, *helo, *sender, *rcpt, *login, *tls, *host;
  const struct service *service;
  int is_json, asks_dns;
  struct ip ip;
  struct clientdns *dns;
  struct judge_dns *told; /* by --host */
  json_t *steps;
  char decided[600];
  char reply[1200]; /* the last one, the last of its lines */
};

static struct trial trial;
static const char by_users[] = "users";

/* ---- what is looked at */

static void put(json_t *o, const char *name, const char *value)
{
  if (*value)
    json_object_set_new(o, name, json_bytes(value));
}

/* a kind of key of table access, and no other remark */
static int is_kind(const char *what)
{
  enum access_key key;

  return access_key_read(what, strlen(what), &key) == 0;
}

static void saw(void *arg, const char *what, const char *looked, const char *line,
                const char *value)
{
  json_t *o;

  (void)arg;
  if (strcmp(what, "decided") == 0) {
    snprintf(trial.decided, sizeof trial.decided, "%s", looked);
    return;
  }
  if (!trial.is_json) {
    printf("  %-8s %s%s%s%s%s\n", what, *looked ? looked : "-", *line ? ": " : "", line,
           *line ? " " : is_kind(what) ? ": no line" : "", value);
    return;
  }
  o = json_object();
  put(o, "what", what);
  put(o, "looked", looked);
  put(o, "line", line);
  put(o, "value", value);
  json_array_append_new(trial.steps, o);
}

/* ---- a world in which nothing happens */

static const struct table *world_table(void)
{
  return trial.table;
}

static int world_ask(struct session *s, const char *address)
{
  (void)s;
  (void)address;
  return 0;
}

static int world_no(struct session *s)
{
  (void)s;
  return -1;
}

static int world_no_data(struct session *s, const char *bytes, size_t len)
{
  (void)s;
  (void)bytes;
  (void)len;
  return -1;
}

static void world_nothing(struct session *s)
{
  (void)s;
}

static unsigned int world_no_mechanisms(void)
{
  return 0;
}

static const struct session_world world = {
  .table = world_table, .ask = world_ask, .open = world_no, .data = world_no_data,
  .commit = world_no, .abort = world_nothing, .mechanisms = world_no_mechanisms,
  .forgo = world_nothing,
};

/* whether there is such a user: as heloise-auth would say */
static void answer_user(struct session *s)
{
  struct localuser u = {0};
  const char *at = strrchr(s->asked.s, '@'), *why = "";
  size_t len = at ? (size_t)(at - s->asked.s) : strlen(s->asked.s);
  enum verdict v = localuser_find(trial.table, s->asked.s, len,
                                  localuser_has_system("hlauth") ? LOCALUSER_HAS_SYSTEM : 0, &u,
                                  &why);

  saw(NULL, "user", v == V_OK ? "is known here" : v == V_PERM ? "is not known here" : why, "", "");
  if (v != V_OK)
    saw(NULL, "decided", by_users, "", "");
  session_known(s, v, why);
  localuser_free(&u);
}

/* the last line of what was answered */
static void keep_reply(struct session *s)
{
  size_t end = s->out.len >= 2 ? s->out.len - 2 : 0, from = end;

  while (from > 0 && s->out.s[from - 1] != '\n')
    from--;
  snprintf(trial.reply, sizeof trial.reply, "%.*s", (int)(end - from), s->out.s + from);
  s->out.len = 0;
}

/* says one line to the session; whether it was taken */
static int tell(struct session *s, const char *verb, const char *argument, const char *after)
{
  char line[ARGUMENT_MAX + 64];
  int n = snprintf(line, sizeof line, "%s%s%s\r\n", verb, argument, after);

  trial.decided[0] = 0;
  if (!trial.is_json)
    printf("%s%s%s\n", verb, argument, after);
  session_feed(s, line, (size_t)n);
  if (s->doing == ASKED)
    answer_user(s);
  if (s->doing == PAUSED)
    session_go_on(s);
  keep_reply(s);
  /* what let it pass so far has not refused it: a malformed command does that by itself */
  if (trial.reply[0] != '2' && strcmp(trial.decided, by_users) != 0)
    snprintf(trial.decided, sizeof trial.decided, "%s", s->decided ? s->decided : "");
  if (trial.is_json) {
    json_t *o = json_object();
    line[n - 2] = 0;
    put(o, "command", line);
    put(o, "reply", trial.reply);
    json_array_append_new(trial.steps, o);
  } else {
    printf("  -> %s\n", trial.reply);
  }
  return trial.reply[0] == '2';
}

static const char *fate_of(const struct session *s)
{
  return s->mail.fate == FATE_DISCARD || s->mail.ndropped > 0 ? "discarded"
         : s->mail.fate == FATE_HOLD                        ? "held"
                                                            : "taken";
}

static int finish(const struct session *s, int is_taken)
{
  const char *what = is_taken ? fate_of(s) : trial.reply[0] == '4' ? "deferred" : "refused";
  const char *by = is_taken && s->mail.fate != FATE_QUEUE && s->mail.fated.len ? s->mail.fated.s
                                                                            : trial.decided;
  stralloc out = {0};

  if (trial.is_json) {
    json_t *o = json_object();
    put(o, "result", what);
    put(o, "reply", trial.reply);
    json_object_set_new(o, "decided", *by ? json_bytes(by) : json_null());
    json_object_set_new(o, "relay", json_boolean(s->mail.is_relay));
    json_object_set_new(o, "steps", trial.steps);
    if (json_line(&out, o) != 0)
      return EXIT_OSERR;
    fwrite(out.s, 1, out.len, stdout);
    free(out.s);
  } else {
    printf("%s%s%s%s\n", what, *by ? ", by " : "", by,
           s->mail.is_relay ? "; this client may relay" : "");
  }
  return is_taken ? EXIT_OK : trial.reply[0] == '4' ? EXIT_TEMPFAIL : EXIT_NOPERM;
}

static int play(void)
{
  static struct session s;
  int r;

  session_start(&s, &world, trial.service, &trial.ip, 0);
  s.doing = COMMAND; /* of submissions too */
  s.is_unlimited = judge_is_unlimited(trial.table, &trial.ip);
  s.dns = trial.told ? trial.told : clientdns_result(trial.dns);
  if (*trial.tls) {
    s.tls.is_on = 1;
    snprintf(s.tls.version, sizeof s.tls.version, "%s", trial.tls);
  }
  if (*trial.login && (!stralloc_copys(&s.login, trial.login) || !stralloc_0(&s.login)))
    return EXIT_OSERR;
  s.out.len = 0;
  decide_trace(saw, NULL);
  r = tell(&s, trial.service->is_lmtp ? "LHLO " : "EHLO ", trial.helo, "") &&
      tell(&s, "MAIL FROM:<", trial.sender, ">") && tell(&s, "RCPT TO:<", trial.rcpt, ">");
  r = finish(&s, r);
  session_close(&s);
  return r;
}

/* ---- DNS */

static void on_found(void *owner)
{
  (void)owner;
  loop_end();
}

/* asks as heloise-smtpd would, of a resolver of its own */
static int ask_dns(void)
{
  int sock;

  if (judge_is_unlimited(trial.table, &trial.ip)) {
    saw(NULL, "dns", "is not asked: this client has no limits", "", "");
    return EXIT_OK;
  }
  sock = probe_dns();
  if (sock < 0 || clientdns_tables(trial.table) != 0 || asklink_channel(sock) != 0) {
    fprintf(stderr, "heloise: access: name servers: %s\n", strerror(errno));
    return EXIT_OSERR;
  }
  trial.dns = clientdns_begin(&trial.ip, !trial.service->needs_login, on_found, NULL);
  if (trial.dns)
    loop_run();
  return EXIT_OK;
}

/* ---- arguments */

static int usage(void)
{
  fprintf(stderr, "usage: heloise access test CLIENT HELO SENDER RCPT [--login L] [--tls[=VERSION]]\n"
                  "         [--host NAME | --dns] [--service SERVICE] [--json]\n");
  return EXIT_USAGE;
}

static int read_options(int argc, char **argv)
{
  static const struct option options[] = {
    {"login", required_argument, NULL, 'l'}, {"tls", optional_argument, NULL, 't'},
    {"host", required_argument, NULL, 'h'},  {"dns", no_argument, NULL, 'd'},
    {"json", no_argument, NULL, 'j'},        {"service", required_argument, NULL, 's'},
    {0}};
  int o;

  trial.login = trial.tls = trial.host = "";
  trial.service = service_row(SERVICE_MX);
  while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
    switch (o) {
    case 'l': trial.login = optarg; break;
    case 't': trial.tls = optarg ? optarg : "TLSv1.3"; break;
    case 'h': trial.host = optarg; break;
    case 'd': trial.asks_dns = 1; break;
    case 'j': trial.is_json = 1; break;
    case 's': trial.service = service_find(optarg, strlen(optarg)); break;
    default: return -1;
    }
  return trial.service && !(trial.asks_dns && *trial.host) && argc - optind == 5 &&
             strcmp(argv[optind], "test") == 0
           ? 0
           : -1;
}

/* it becomes one line of SMTP */
static int is_sayable(const char *s)
{
  return strlen(s) <= ARGUMENT_MAX && !strpbrk(s, "\r\n");
}

static int read_arguments(char **argv)
{
  trial.client = argv[1];
  trial.helo = argv[2];
  trial.sender = strcmp(argv[3], "<>") == 0 ? "" : argv[3];
  trial.rcpt = argv[4];
  if (ip_parse(trial.client, strlen(trial.client), &trial.ip) != 0) {
    fprintf(stderr, "heloise: access: %s is no address\n", trial.client);
    return EXIT_USAGE;
  }
  if (!is_sayable(trial.helo) || !is_sayable(trial.sender) || !is_sayable(trial.rcpt) ||
      strlen(trial.host) > 255 || strlen(trial.login) > 255) {
    fprintf(stderr, "heloise: access: an argument is too long, or has an end of line\n");
    return EXIT_USAGE;
  }
  return EXIT_OK;
}

static int take_host(void)
{
  trial.told = calloc(1, sizeof *trial.told);
  if (!trial.told)
    return EXIT_OSERR;
  trial.told->host_is = HOST_VERIFIED;
  snprintf(trial.told->host, sizeof trial.told->host, "%s", trial.host);
  return EXIT_OK;
}

int access_command(const struct instance *i, int argc, char **argv)
{
  struct table *t;
  const char *bad;
  int fd, r;

  if (read_options(argc, argv) != 0)
    return usage();
  r = read_arguments(argv + optind);
  if (r != EXIT_OK)
    return r;
  fd = instance_open_tables(i);
  t = fd < 0 ? NULL : table_open(fd);
  if (!t || settings_load(t, &bad) != 0) {
    fprintf(stderr, "heloise: %s: %s\n", i->control, t ? bad : strerror(errno));
    return errno == EACCES ? EXIT_NOPERM : EXIT_CONFIG;
  }
  close(fd);
  trial.table = t;
  trial.steps = json_array();
  log_silence();
  r = *trial.host ? take_host() : trial.asks_dns ? ask_dns() : EXIT_OK;
  if (r == EXIT_OK)
    r = play();
  clientdns_end(trial.dns);
  free(trial.told);
  table_close(t);
  return r;
}
