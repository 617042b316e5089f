/* test_peerwords.c - values of table `peers` */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/peerwords.h"
#include "common/verbs.h"

static void test_values(void **state)
{
  static const struct {
    const char *value;
    int ok, helo, ehlo;
    uint32_t off;
    enum peer_tls tls;
  } c[] = {
    {"helo", 1, 1, 0, 0, 0},
    {"ehlo no-dsn", 1, 0, 1, VERB_DSN, 0},
    {" no-8bitmime\tno-pipelining ", 1, 0, 0, VERB_8BITMIME | VERB_PIPELINING, 0},
    {"no-STARTTLS", 1, 0, 0, VERB_STARTTLS, 0},
    {"3503297", 1, 0, 0, VERB_8BITMIME, 0}, /* KB 286673 */
    {"7697601", 1, 0, 0, 0, 0},
    {"", 0, 0, 0, 0, 0},
    {"   ", 0, 0, 0, 0, 0},
    {"helo ehlo", 0, 0, 0, 0, 0},
    {"no-", 0, 0, 0, 0, 0},
    {"no-such", 0, 0, 0, 0, 0},
    {"tls=must", 0, 0, 0, 0, 0},
    {"tls=", 0, 0, 0, 0, 0},
    {"no-reuse", 1, 0, 0, 0, 0},
    {"no-dsn no-reuse", 1, 0, 0, VERB_DSN, 0},
    {"no-reuses", 0, 0, 0, 0, 0},
    {"tls=none", 1, 0, 0, 0, PEER_TLS_NONE},
    {"no-dsn tls=may", 1, 0, 0, VERB_DSN, PEER_TLS_MAY},
    {"ehlo tls=encrypt", 1, 0, 1, 0, PEER_TLS_ENCRYPT},
    {"tls=verify", 1, 0, 0, 0, PEER_TLS_VERIFY},
    {"helo tls=encrypt", 0, 0, 0, 0, 0},
    {"tls=verify no-starttls", 0, 0, 0, 0, 0},
    {"HELO", 0, 0, 0, 0, 0},
    {"helo 3503297", 0, 0, 0, 0, 0},
    {"99999999999999999999", 0, 0, 0, 0, 0},
  };

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    const char *why = NULL;
    struct peerwords w;
    int r = peerwords_parse(c[i].value, strlen(c[i].value), &w, &why);
    if ((r == 0) != c[i].ok)
      fail_msg("\"%s\": %d %s", c[i].value, r, why ? why : "-");
    if (r != 0) {
      assert_non_null(why);
      continue;
    }
    assert_int_equal(w.says_helo, c[i].helo);
    assert_int_equal(w.says_ehlo, c[i].ehlo);
    assert_int_equal(w.tls, c[i].tls);
    assert_int_equal(w.no_reuse, strstr(c[i].value, "no-reuse") != NULL);
    assert_int_equal(w.off & VERB_8BITMIME, c[i].off & VERB_8BITMIME);
    if (c[i].value[0] < '0' || c[i].value[0] > '9')
      assert_int_equal(w.off, c[i].off);
  }
}

/* what the queue asks of the table */
static void test_limits(void **state)
{
  static const struct {
    const char *value;
    int ok;
    uint32_t conns, rate;
    uint64_t ms;
  } c[] = {
    {"conns=5", 1, 5, 0, 0},
    {"rate=100/1m", 1, 0, 100, 60000},
    {"helo rate=1/1s conns=10000 no-dsn", 1, 10000, 1, 1000},
    {"rate=10000/1d", 1, 0, 10000, 86400000},
    {"rate=3/1h30m", 1, 0, 3, 5400000},
    {"conns=", 0, 0, 0, 0},
    {"conns=0", 0, 0, 0, 0},
    {"conns=10001", 0, 0, 0, 0},
    {"conns=-1", 0, 0, 0, 0},
    {"conns=5x", 0, 0, 0, 0},
    {"rate=", 0, 0, 0, 0},
    {"rate=100", 0, 0, 0, 0},
    {"rate=100/", 0, 0, 0, 0},
    {"rate=/1m", 0, 0, 0, 0},
    {"rate=0/1m", 0, 0, 0, 0},
    {"rate=10001/1m", 0, 0, 0, 0},
    {"rate=100/60", 0, 0, 0, 0}, /* sixty what? */
    {"rate=100/m", 0, 0, 0, 0},
    {"rate=100/500ms", 0, 0, 0, 0},
    {"rate=100/2d", 0, 0, 0, 0},
    {"rate=100/1m/1m", 0, 0, 0, 0},
  };

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    const char *why = NULL;
    struct peerwords w;
    int r = peerwords_parse(c[i].value, strlen(c[i].value), &w, &why);
    if ((r == 0) != c[i].ok)
      fail_msg("\"%s\": %d %s", c[i].value, r, why ? why : "-");
    if (r != 0)
      continue;
    assert_int_equal(w.conns, c[i].conns);
    assert_int_equal(w.rate, c[i].rate);
    assert_int_equal(w.rate_ms, c[i].ms);
  }
}

static void add(struct table_maker *m, const char *key, const char *value)
{
  struct ip_net net;
  int r = ip_net_parse(key, strlen(key), &net) == 0
            ? table_maker_add_net(m, "peers", "", &net, value, strlen(value))
            : table_maker_add(m, "peers", key, strlen(key), value, strlen(value));

  assert_int_equal(r, 0);
}

static void test_find(void **state)
{
  static const struct {
    const char *ip;
    uint16_t port;
    const char *host;
    uint32_t off;
  } c[] = {
    {"192.0.2.1", 2525, "mx.example.net", VERB_DSN},
    {"192.0.2.1", 25, "mx.example.net", VERB_SIZE},
    {"192.0.2.77", 25, "mx.example.net", VERB_PIPELINING},
    {"198.51.100.1", 25, "MX.example.net", VERB_8BITMIME},
    {"198.51.100.1", 25, "other.example.net", VERB_CHUNKING},
    {"198.51.100.1", 25, "elsewhere.example", VERB_AUTH},
    {"198.51.100.1", 25, "", VERB_AUTH},
    {"198.51.100.1", 25, NULL, VERB_AUTH},
    {"2001:db8::1", 25, "", VERB_HELP},
  };
  int fd = memfd_create("table", 0);
  struct table_maker *m = table_maker_start(fd);
  struct table *t;

  (void)state;
  add(m, "*", "no-auth");
  add(m, "192.0.2.1:2525", "no-dsn");
  add(m, "192.0.2.1", "no-size");
  add(m, "192.0.2.0/24", "no-pipelining");
  add(m, "2001:db8::/32", "no-help");
  add(m, "mx.example.net", "no-8bitmime");
  add(m, ".example.net", "no-chunking");
  assert_int_equal(table_maker_finish(m), 0);
  t = table_open(fd);
  assert_non_null(t);
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    struct peerwords w;
    struct ip ip;
    assert_int_equal(ip_parse(c[i].ip, strlen(c[i].ip), &ip), 0);
    peerwords_find(t, &ip, c[i].port, c[i].host, &w);
    if (w.off != c[i].off)
      fail_msg("%s %s: %x instead of %x", c[i].ip, c[i].host, w.off, c[i].off);
  }
  {
    static const struct {
      const char *name;
      uint32_t off;
    } n[] = {{"MX.example.net", VERB_8BITMIME}, {"other.example.net", VERB_CHUNKING},
             {"elsewhere.example", VERB_AUTH}};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
      struct peerwords w;
      peerwords_find_name(t, n[i].name, &w);
      assert_int_equal(w.off, n[i].off);
    }
  }
  table_close(t);
  close(fd);
}

static void test_no_table(void **state)
{
  struct ip ip = {.family = 4};
  struct peerwords w = {.says_helo = 1, .says_ehlo = 1, .off = 1, .no_reuse = 1, .tls = PEER_TLS_MAY};

  (void)state;
  peerwords_find(NULL, &ip, 25, "mx.example", &w);
  assert_int_equal(w.says_helo | w.says_ehlo, 0);
  assert_int_equal(w.off, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_limits),
                                     cmocka_unit_test(test_find),
                                     cmocka_unit_test(test_no_table)};

  return cmocka_run_group_tests_name("peerwords", tests, NULL, NULL);
}
