/* test_judge.c - the one decision: who may send what to whom, and which line says so */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "smtpd/judge.h"
#include "tests/unit/smtpsession.h"

static const char *const tables[][3] = {
  {"settings", "hostname", "mx.example.org"},
  {"settings", "dnslist-reject-score", "5"},
  {"settings", "dnslist-defer-score", "3"},
  {"settings", "reverse-unknown-weight", "2"},
  {"settings", "early-talker-weight", "3"},
  {"settings", "unlimited-clients", "127.0.0.0/8 ::1"},
  {"domains", "example.org", "local"},
  {"domains", ".sub.example.org", "local"},
  {"domains", "backup.example", "relay"},
  {"access", "client:192.0.2.0/24", "relay"},
  {"access", "client:192.0.2.66/32", "reject not you"},
  {"access", "client:192.0.2.70/32", "helo=junk"},
  {"access", "client:198.51.100.0/24", "defer later"},
  {"access", "client:198.51.100.7/32", "accept"},
  {"access", "client:198.51.100.8/32", "hold"},
  {"access", "client:198.51.100.9/32", "relay discard rate=5/1m delay=3s"},
  {"access", "client:2001:db8:1::/48", "reject"},
  {"access", "host:.friend.example", "relay"},
  {"access", "host:bad.friend.example", "reject"},
  {"access", "host:*", "rate=7/1h"},
  {"access", "login:carol", "reject closed"},
  {"access", "login:@dept.example", "hold"},
  {"access", "login:dave", "rate=9/1h"},
  {"access", "tls:tlsv1.3", "accept"},
  {"access", "tls:yes", "delay=2s"},
  {"access", "helo:bad.example", "reject"},
  {"access", "helo:.bad.example", "defer"},
  {"access", "helo:good.example", "accept"},
  {"access", "sender:s@spam.example", "reject spam"},
  {"access", "sender:@spam.example", "defer"},
  {"access", "sender:.spam.example", "discard delay=1s"},
  {"access", "sender:", "rate=2/1m"},
  {"access", "rcpt:closed@example.org", "reject closed"},
  {"access", "rcpt:abuse@example.org", "accept"},
  {"access", "rcpt:gone@example.org", "discard"},
  {"access", "rcpt:held@example.org", "hold rate=4/1m delay=5s"},
  {"access", "rcpt:open@elsewhere.example", "relay"},
  {NULL, NULL, NULL},
};

#define STRANGER "203.0.113.1"
#define ALICE "alice@example.org"
#define AWAY "x@elsewhere.example"

/* what is not said is that of a stranger, in clear, who says a.example and s@a.example */
static const struct row {
  const char *client, *host, *login, *tls, *helo, *sender, *rcpt;
  int score; /* of one list, zone one.example */
  int host_is, is_early;
  enum judge_way way;
  int code; /* of the reply, 0: not looked at */
  const char *decided;
  int may_relay;
  enum access_fate fate;
  unsigned int delay;
} rows[] = {
  /* nobody in particular */
  {.way = JUDGE_TAKE},
  {.rcpt = ALICE, .way = JUDGE_ASK},
  {.rcpt = "x@a.sub.example.org", .way = JUDGE_ASK},
  {.rcpt = "x@backup.example", .way = JUDGE_TAKE},
  {.rcpt = AWAY, .way = JUDGE_REFUSE, .code = 550, .decided = "domains"},
  /* the smallest network */
  {.client = "192.0.2.1", .rcpt = AWAY, .way = JUDGE_TAKE, .decided = "access client:192.0.2.0/24", .may_relay = 1},
  {.client = "192.0.2.66", .way = JUDGE_REFUSE, .code = 550, .decided = "access client:192.0.2.66"},
  {.client = "192.0.2.66", .rcpt = ALICE, .way = JUDGE_REFUSE, .code = 550, .decided = "access client:192.0.2.66"},
  {.client = "192.0.2.70", .rcpt = AWAY, .way = JUDGE_REFUSE, .code = 550, .decided = "domains"},
  {.client = "198.51.100.1", .way = JUDGE_REFUSE, .code = 450, .decided = "access client:198.51.100.0/24"},
  {.client = "198.51.100.7", .way = JUDGE_TAKE, .decided = "access client:198.51.100.7"},
  {.client = "198.51.100.7", .rcpt = AWAY, .way = JUDGE_REFUSE, .code = 550, .decided = "domains"},
  {.client = "198.51.100.8", .way = JUDGE_TAKE, .fate = FATE_HOLD},
  {.client = "198.51.100.8", .sender = "s@spam.example", .way = JUDGE_REFUSE, .code = 550, .decided = "access sender:s@spam.example"},
  {.client = "198.51.100.9", .way = JUDGE_TAKE, .may_relay = 1, .fate = FATE_DISCARD, .delay = 0},
  {.client = "2001:db8:1:2::3", .way = JUDGE_REFUSE, .code = 550, .decided = "access client:2001:db8:1::/48"},
  {.client = "2001:db8:2::3", .way = JUDGE_TAKE},
  /* host names */
  {.host = "mx.friend.example", .rcpt = AWAY, .way = JUDGE_TAKE, .decided = "access host:.friend.example", .may_relay = 1},
  {.host = "MX.Friend.Example", .way = JUDGE_TAKE, .may_relay = 1},
  {.host = "bad.friend.example", .way = JUDGE_REFUSE, .code = 550, .decided = "access host:bad.friend.example"},
  {.host = "bad.friend.example", .client = "192.0.2.1", .way = JUDGE_TAKE, .may_relay = 1},
  {.host = "notfriend.example", .rcpt = AWAY, .way = JUDGE_REFUSE, .code = 550, .decided = "domains"},
  {.host_is = HOST_UNSURE, .rcpt = AWAY, .way = JUDGE_REFUSE, .code = 451, .decided = "host unsure"},
  {.host_is = HOST_UNSURE, .rcpt = ALICE, .way = JUDGE_ASK},
  {.host_is = HOST_UNKNOWN, .rcpt = AWAY, .way = JUDGE_REFUSE, .code = 550, .decided = "domains"},
  /* logins */
  {.login = "bob", .rcpt = AWAY, .way = JUDGE_TAKE, .decided = "login", .may_relay = 1},
  {.login = "carol", .way = JUDGE_REFUSE, .code = 550, .decided = "access login:carol"},
  {.login = "Carol", .way = JUDGE_REFUSE, .code = 550, .decided = "access login:carol"},
  {.login = "carol", .client = "192.0.2.1", .way = JUDGE_TAKE, .may_relay = 1},
  {.login = "x@dept.example", .rcpt = AWAY, .way = JUDGE_TAKE, .may_relay = 1, .fate = FATE_HOLD},
  {.login = "bob", .client = "198.51.100.1", .way = JUDGE_REFUSE, .code = 450},
  {.login = "bob", .helo = "bad.example", .way = JUDGE_REFUSE, .code = 550, .decided = "access helo:bad.example"},
  /* TLS */
  {.tls = "TLSv1.3", .helo = "bad.example", .way = JUDGE_TAKE, .decided = "access tls:tlsv1.3"},
  {.tls = "TLSv1.2", .helo = "bad.example", .way = JUDGE_REFUSE, .code = 550},
  {.tls = "TLSv1.2", .rcpt = ALICE, .way = JUDGE_ASK, .delay = 2000},
  {.tls = "TLSv1.2", .login = "bob", .rcpt = ALICE, .way = JUDGE_ASK, .may_relay = 1, .delay = 0},
  /* greetings and senders */
  {.helo = "BAD.example", .way = JUDGE_REFUSE, .code = 550, .decided = "access helo:bad.example"},
  {.helo = "x.bad.example", .way = JUDGE_REFUSE, .code = 450, .decided = "access helo:.bad.example"},
  {.helo = "good.example", .sender = "s@spam.example", .way = JUDGE_TAKE, .decided = "access helo:good.example"},
  {.helo = "good.example", .rcpt = ALICE, .score = 5, .way = JUDGE_REFUSE, .code = 550, .decided = "dnslists one.example=5"},
  {.client = "192.0.2.1", .helo = "bad.example", .sender = "s@spam.example", .way = JUDGE_TAKE, .may_relay = 1},
  {.sender = "S@Spam.example", .way = JUDGE_REFUSE, .code = 550, .decided = "access sender:s@spam.example"},
  {.sender = "t@spam.example", .way = JUDGE_REFUSE, .code = 450, .decided = "access sender:@spam.example"},
  {.sender = "t@a.spam.example", .rcpt = ALICE, .way = JUDGE_ASK, .fate = FATE_DISCARD, .delay = 1000},
  {.sender = "t@a.spam.example", .rcpt = AWAY, .way = JUDGE_REFUSE, .code = 550, .fate = FATE_DISCARD, .delay = 1000, .decided = "domains"},
  {.sender = "", .way = JUDGE_TAKE},
  /* recipients */
  {.rcpt = "closed@example.org", .way = JUDGE_REFUSE, .code = 550, .decided = "access rcpt:closed@example.org"},
  {.client = "192.0.2.1", .rcpt = "closed@example.org", .way = JUDGE_REFUSE, .code = 550, .may_relay = 1},
  {.rcpt = "gone@example.org", .way = JUDGE_DROP, .fate = FATE_DISCARD},
  {.rcpt = "held@example.org", .way = JUDGE_ASK, .fate = FATE_HOLD, .delay = 5000},
  {.rcpt = "open@elsewhere.example", .way = JUDGE_TAKE, .decided = "access rcpt:open@elsewhere.example"},
  /* weights */
  {.rcpt = ALICE, .score = 5, .way = JUDGE_REFUSE, .code = 550, .decided = "dnslists one.example=5"},
  {.rcpt = ALICE, .score = 4, .way = JUDGE_REFUSE, .code = 450, .decided = "dnslists one.example=4"},
  {.rcpt = ALICE, .score = 2, .way = JUDGE_ASK, .decided = ""},
  {.rcpt = ALICE, .score = -9, .way = JUDGE_ASK},
  {.score = 5, .way = JUDGE_TAKE}, /* not before the first recipient */
  {.rcpt = "abuse@example.org", .score = 500, .is_early = 1, .way = JUDGE_ASK},
  {.client = "192.0.2.1", .rcpt = ALICE, .score = 500, .is_early = 1, .way = JUDGE_ASK, .may_relay = 1},
  {.client = "198.51.100.7", .rcpt = ALICE, .score = 500, .way = JUDGE_ASK},
  {.login = "bob", .rcpt = ALICE, .score = 500, .way = JUDGE_ASK, .may_relay = 1},
  {.tls = "TLSv1.3", .rcpt = ALICE, .score = 500, .way = JUDGE_REFUSE, .code = 550},
  {.rcpt = "closed@example.org", .score = 500, .way = JUDGE_REFUSE, .code = 550, .decided = "access rcpt:closed@example.org"},
  {.rcpt = ALICE, .host_is = HOST_UNKNOWN, .way = JUDGE_ASK},
  {.rcpt = ALICE, .host_is = HOST_UNKNOWN, .score = 1, .way = JUDGE_REFUSE, .code = 450, .decided = "dnslists one.example=1 reverse-unknown=2"},
  {.rcpt = ALICE, .host_is = HOST_UNKNOWN, .is_early = 1, .way = JUDGE_REFUSE, .code = 550, .decided = "dnslists reverse-unknown=2 early-talker=3"},
  {.rcpt = ALICE, .is_early = 1, .score = -3, .way = JUDGE_ASK},
  {.rcpt = ALICE, .host_is = HOST_UNSURE, .score = 2, .way = JUDGE_ASK},
};

static const int codes[] = {
#define REPLY(name, code, status, text) code,
#include "smtpd/replies.def"
#undef REPLY
};

static struct table *table;
static struct judge_dns *dns;

static const char *or(const char *s, const char *other)
{
  return s ? s : other;
}

static void facts_of(const struct row *r, struct judge_facts *f)
{
  const char *client = or(r->client, STRANGER), *at = r->rcpt ? strrchr(r->rcpt, '@') : NULL;

  *f = (struct judge_facts){.table = table, .address = client, .dns = dns, .login = or(r->login, ""),
                            .tls = or(r->tls, ""), .helo = or(r->helo, "a.example"),
                            .sender = or(r->sender, "s@a.example"), .rcpt = r->rcpt,
                            .domain = at ? at + 1 : "", .is_early = r->is_early};
  assert_int_equal(ip_parse(client, strlen(client), &f->ip), 0);
  memset(dns, 0, sizeof *dns + sizeof *dns->hit);
  dns->is_for_access = 1;
  dns->host_is = r->host ? HOST_VERIFIED : (enum judge_host)r->host_is;
  strcpy(dns->host, or(r->host, ""));
  dns->n = r->score != 0;
  dns->hit[0].weight = r->score;
  strcpy(dns->hit[0].zone, "one.example");
}

static void decisions(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct row *r = &rows[i];
    const struct judgement *j;
    struct judge_facts f;
    facts_of(r, &f);
    j = judge_decide(&f);
    print_message("# row %zu: %s\n", i, j->decided);
    assert_int_equal(j->way, r->way);
    if (r->code)
      assert_int_equal(codes[j->reply], r->code);
    if (r->decided)
      assert_string_equal(j->decided, r->decided);
    assert_int_equal(j->may_relay, r->may_relay);
    assert_int_equal(j->way == JUDGE_REFUSE ? r->fate : j->fate, r->fate);
    if (r->delay || j->may_relay)
      assert_int_equal(j->delay, r->delay);
    assert_true(j->way != JUDGE_REFUSE || *j->decided); /* every refusal says why */
  }
}

static void rates(void **state)
{
  static const struct {
    struct row row;
    const char *line, *who;
    uint64_t rate, per;
  } cases[] = {
    {{.client = "198.51.100.9"}, "client:198.51.100.9", "", 5, 60000},
    {{.host = "some.example"}, "host:*", "", 7, 3600000},
    {{.login = "dave"}, "login:dave", "dave", 9, 3600000},
    {{.sender = ""}, "sender:", "", 2, 60000},
    {{.rcpt = "held@example.org"}, "rcpt:held@example.org", "held@example.org", 4, 60000},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct judgement *j;
    struct judge_facts f;
    struct judge_rate r;
    facts_of(&cases[i].row, &f);
    j = judge_decide(&f);
    assert_int_equal(j->nrates, 1);
    r = j->rate[0];
    assert_string_equal(r.line, cases[i].line);
    assert_string_equal(r.who, cases[i].who);
    assert_int_equal(r.rate, cases[i].rate);
    assert_int_equal(r.per, cases[i].per);
    j = judge_over_rate(&r);
    assert_int_equal(j->way, JUDGE_REFUSE);
    assert_int_equal(codes[j->reply], 450);
    assert_memory_equal(j->decided, "access ", 7);
    assert_string_equal(j->decided + 7, cases[i].line);
  }
}

static void postmaster(void **state)
{
  const struct row r = {.rcpt = "postmaster@mx.example.org", .score = 99};
  const struct row counted = {.rcpt = "postmaster@mx.example.org", .host = "some.example"};
  struct judge_facts f;

  (void)state;
  facts_of(&r, &f);
  f.is_postmaster = 1;
  assert_int_equal(judge_decide(&f)->way, JUDGE_TAKE);
  facts_of(&counted, &f);
  f.is_postmaster = 1;
  assert_int_equal(judge_decide(&f)->nrates, 0); /* MAIL was counted by these lines already */
}

static void unlimited(void **state)
{
  static const struct {
    const char *client;
    int is_unlimited;
  } cases[] = {{"127.9.9.9", 1}, {"::1", 1}, {"192.0.2.1", 1}, {"192.0.2.66", 0}, {STRANGER, 0}, {"198.51.100.7", 0}};
  struct ip ip;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(ip_parse(cases[i].client, strlen(cases[i].client), &ip), 0);
    assert_int_equal(judge_is_unlimited(table, &ip), cases[i].is_unlimited);
  }
}

/* whatever is looked at is told */
static void count(void *arg, const char *what, const char *looked, const char *line, const char *value)
{
  assert_non_null(what);
  assert_non_null(looked);
  assert_non_null(line);
  assert_non_null(value);
  ++*(unsigned int *)arg;
}

static void told(void **state)
{
  const struct row r = {.rcpt = ALICE, .score = 2, .host_is = HOST_UNKNOWN, .is_early = 1};
  unsigned int n = 0;
  struct judge_facts f;

  (void)state;
  facts_of(&r, &f);
  f.saw = count;
  f.arg = &n;
  judge_decide(&f);
  assert_int_equal(n, ACCESS_KEYS + 4); /* all kinds; list, name, early; the sum */
}

/* hostile lengths do not leave the texts */
static void long_texts(void **state)
{
  char name[2000];
  struct row r = {.rcpt = ALICE, .score = 5};
  struct judge_facts f;
  const struct judgement *j;

  (void)state;
  memset(name, 'x', sizeof name - 1);
  name[sizeof name - 1] = 0;
  r.helo = r.sender = r.login = name;
  facts_of(&r, &f);
  judge_decide(&f);
  f.login = "";
  memset(dns->hit[0].zone, 'z', sizeof dns->hit[0].zone - 1);
  memset(dns->hit[0].text, 't', sizeof dns->hit[0].text - 1);
  j = judge_decide(&f);
  assert_int_equal(j->way, JUDGE_REFUSE);
  assert_in_range(strlen(j->argument), 1, 399);
  assert_in_range(strlen(j->decided), 1, 499);
}

static int setup(void **state)
{
  const char *bad;

  (void)state;
  (void)fake_feed; /* no session here */
  table = fake_tables(tables);
  dns = calloc(1, sizeof *dns + sizeof *dns->hit);
  return table && dns && settings_load(table, &bad) == 0 ? 0 : -1;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(decisions), cmocka_unit_test(rates), cmocka_unit_test(postmaster),
    cmocka_unit_test(unlimited), cmocka_unit_test(told),  cmocka_unit_test(long_texts),
  };

  return cmocka_run_group_tests_name("judge", tests, setup, NULL);
}
