/* test_peers.c - peer memory: cards, their times, and files that are none */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "deliver/peers.h"

#define NOW 1800000000ULL
#define DAY 86400

static char place[] = "/tmp/test-peers-XXXXXX";
static int dir = -1;

static struct peers_news news(const char *ip, uint16_t port, enum peers_fact f, const char *evidence)
{
  struct peers_news n = {.port = port, .fact = f};

  assert_int_equal(ip_parse(ip, strlen(ip), &n.ip), 0);
  assert_int_equal(peers_news_read(evidence, strlen(evidence), &n), 0);
  return n;
}

static int holds(const struct peers *p, const struct peers_news *n, uint64_t now)
{
  struct peers_card c;

  peers_card(p, &n->ip, n->port, &c);
  return peers_holds(&c, n->fact, now);
}

static struct peers *fresh(void)
{
  struct peers *p;

  unlinkat(dir, "peers", 0);
  p = peers_open(dir);
  assert_non_null(p);
  return p;
}

static void test_learn(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E9"), other = n;
  struct peers *p = fresh();
  struct peers_card c;

  (void)state;
  assert_false(holds(p, &n, NOW));
  assert_int_equal(peers_learn(p, &n, NOW), NOW + DAY);
  assert_true(holds(p, &n, NOW + DAY - 1));
  assert_false(holds(p, &n, NOW + DAY));
  other.port = 26;
  assert_false(holds(p, &other, NOW));
  peers_close(p);
  p = peers_open(dir); /* it survives */
  assert_int_equal(peers_card(p, &n.ip, 25, &c), 1);
  assert_string_equal(peers_note(&c, FACT_HELO_ONLY)->row, "E9");
  assert_int_equal(peers_note(&c, FACT_HELO_ONLY)->count, 1);
  assert_int_equal(peers_unlearn(p, &n), 1);
  assert_int_equal(peers_unlearn(p, &n), 0);
  assert_int_equal(peers_card(p, &n.ip, 25, &c), 0);
  peers_close(p);
}

/* proved again after its time: it lasts longer, up to a bound (LADDER.md 8 rule 2) */
static void test_probation(void **state)
{
  static const unsigned int days[] = {1, 2, 4, 7, 7};
  struct peers_news n = news("2001:db8::1", 25, FACT_HELO_ONLY, "E9");
  struct peers_news huh = news("192.0.2.9", 25, FACT_HELO_ONLY, "E7 550");
  struct peers *p = fresh();
  uint64_t now = NOW;

  (void)state;
  for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
    uint64_t until = peers_learn(p, &n, now);
    assert_int_equal(until - now, days[i] * DAY);
    assert_int_equal(peers_learn(p, &n, now + 5) - now - 5, days[i] * DAY); /* not proved anew */
    now = until + 100;
  }
  assert_int_equal(peers_learn(p, &huh, NOW), NOW + 7 * DAY);
  assert_int_equal(peers_learn(p, &huh, NOW + 8 * DAY), NOW + 22 * DAY);
  peers_close(p);
}

static void test_connect_hang(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_CONNECT_HANG, "A2"), down = n;
  struct peers *p = fresh();

  (void)state;
  down.fact = FACT_DOWN;
  peers_learn(p, &n, NOW);
  peers_learn(p, &n, NOW + 60);
  assert_false(holds(p, &down, NOW + 60));
  peers_learn(p, &n, NOW + 240);
  assert_true(holds(p, &down, NOW + 240));
  peers_close(p);
}

static void test_full_card(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_NONE, "E1");
  struct peers *p = fresh();
  struct peers_card c;

  (void)state;
  for (int f = 1; f < FACT_COUNT; f++) {
    n.fact = (enum peers_fact)f;
    peers_learn(p, &n, NOW);
    assert_true(holds(p, &n, NOW));
  }
  peers_card(p, &n.ip, 25, &c);
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++)
    assert_int_not_equal(c.note[i].fact, FACT_NONE);
  peers_close(p);
}

static int count(void *arg, const struct peers_card *c)
{
  (void)c;
  ++*(int *)arg;
  return 0;
}

static void test_many(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E9");
  struct peers *p = fresh();
  int found = 0, all = 0;

  (void)state;
  for (unsigned int i = 0; i < 40000; i++) {
    n.ip.bytes[0] = (unsigned char)(i >> 16);
    n.ip.bytes[1] = (unsigned char)(i >> 8);
    n.ip.bytes[2] = (unsigned char)i;
    peers_learn(p, &n, NOW + i);
    assert_true(holds(p, &n, NOW + i));
  }
  for (unsigned int i = 39000; i < 40000; i++) {
    n.ip.bytes[0] = (unsigned char)(i >> 16);
    n.ip.bytes[1] = (unsigned char)(i >> 8);
    n.ip.bytes[2] = (unsigned char)i;
    found += holds(p, &n, NOW + i);
  }
  assert_true(found > 990); /* the oldest go first */
  peers_each(p, count, &all);
  assert_in_range(all, 12000, 16384);
  assert_int_equal(peers_forget(p, "all", 3), all);
  peers_close(p);
}

static void test_forget(void **state)
{
  static const struct {
    const char *key;
    int n;
  } c[] = {{"nonsense", -1}, {"", -1}, {"192.0.2.1:x", -1}, {"192.0.2.7", 0}, {"192.0.2.1:26", 1},
           {"192.0.2.1", 2}, {"[2001:db8::1]:25", 1}, {"2001:db8::1", 1}, {"[2001:db8::2]", 1}};
  struct peers *p = fresh();
  struct peers_news n;

  (void)state;
  for (uint16_t port = 25; port < 28; port++) {
    n = news("192.0.2.1", port, FACT_NO_DSN, "X22 555");
    peers_learn(p, &n, NOW);
  }
  n = news("2001:db8::1", 25, FACT_NO_DSN, "X22");
  peers_learn(p, &n, NOW);
  n.port = 26;
  peers_learn(p, &n, NOW);
  n = news("2001:db8::2", 26, FACT_NO_DSN, "X22");
  peers_learn(p, &n, NOW);
  for (size_t i = 0; i < sizeof c / sizeof *c; i++)
    if (peers_forget(p, c[i].key, strlen(c[i].key)) != c[i].n)
      fail_msg("%s", c[i].key);
  peers_close(p);
}

static void write_file(const char *s, size_t len)
{
  int fd;

  unlinkat(dir, "peers", 0);
  fd = openat(dir, "peers", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  assert_int_equal(write(fd, s, len), len);
  close(fd);
}

/* a lost or malformed file is an empty one */
static void test_malformed(void **state)
{
  static char big[4 << 20];
  struct peers_news n = news("192.0.2.1", 25, FACT_DOWN, "A1");
  struct peers *p;
  int all = 0;

  (void)state;
  write_file("", 0);
  assert_null(peers_read(dir));
  write_file("heloise-peers 1\n", 16);
  assert_null(peers_read(dir));
  p = peers_open(dir);
  assert_non_null(p);
  peers_learn(p, &n, NOW);
  assert_true(holds(p, &n, NOW));
  peers_close(p);
  unlinkat(dir, "peers", 0);
  assert_int_equal(symlinkat("/etc/passwd", dir, "peers"), 0);
  p = peers_open(dir);
  assert_non_null(p);
  peers_close(p);
  memset(big, 0xff, sizeof big); /* the right length and head, nonsense within */
  memcpy(big, "heloise-peers 1\n", 16);
  write_file(big, (1 + 16384) * sizeof(struct peers_card));
  p = peers_read(dir);
  assert_non_null(p);
  peers_each(p, count, &all);
  assert_int_equal(all, 0);
  peers_close(p);
  p = fresh();
  peers_close(p);
  assert_int_equal(peers_card(NULL, &n.ip, 25, &(struct peers_card){0}), 0);
}

/* attempts inherit what can be read, not what can be written */
static void test_fork(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_DOWN, "A1");
  struct peers *p = fresh();
  int status;
  pid_t pid;

  (void)state;
  peers_learn(p, &n, NOW);
  pid = fork();
  if (pid == 0)
    _exit(holds(p, &n, NOW) ? 0 : 1);
  waitpid(pid, &status, 0);
  assert_int_equal(status, 0);
  peers_close(p);
}

static void test_news(void **state)
{
  static const char *const bad[] = {"", " ", "e9", "TOOLONG", "E9 ", "E9 x", "E9 1000", "E9 5 5",
                                    "E 9"};
  struct peers_news n;

  (void)state;
  for (size_t i = 0; i + 1 < sizeof bad / sizeof *bad; i++)
    if (peers_news_read(bad[i], strlen(bad[i]), &n) == 0)
      fail_msg("\"%s\"", bad[i]);
  assert_int_equal(peers_news_read("E7 550", 6, &n), 0);
  assert_string_equal(n.row, "E7");
  assert_int_equal(n.code, 550);
  for (int f = 1; f < FACT_COUNT; f++) {
    enum peers_fact back;
    const char *w = peers_fact_word((enum peers_fact)f);
    assert_int_equal(peers_fact_read(w, strlen(w), &back), 0);
    assert_int_equal(back, f);
  }
}

static int set_up(void **state)
{
  (void)state;
  if (!mkdtemp(place))
    return -1;
  dir = open(place, O_RDONLY | O_DIRECTORY);
  return dir < 0;
}

static int tear_down(void **state)
{
  (void)state;
  unlinkat(dir, "peers", 0);
  close(dir);
  return rmdir(place);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_learn),     cmocka_unit_test(test_probation),
    cmocka_unit_test(test_full_card), cmocka_unit_test(test_many),
    cmocka_unit_test(test_forget),    cmocka_unit_test(test_malformed),
    cmocka_unit_test(test_fork),      cmocka_unit_test(test_news),
    cmocka_unit_test(test_connect_hang),
  };

  return cmocka_run_group_tests_name("peers", tests, set_up, tear_down);
}
