/* test_peers.c - peer memory: cards, their times, and files that are none */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "deliver/peers_file.h"

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
  n = down = news("192.0.2.2", 25, FACT_CONNECT_HANG, "A2"); /* many messages, a hang every 20 s */
  down.fact = FACT_DOWN;
  for (uint64_t t = 0; t <= 120; t += 20) {
    assert_false(holds(p, &down, NOW + t));
    peers_learn(p, &n, NOW + t);
  }
  assert_true(holds(p, &down, NOW + 120));
  assert_false(holds(p, &down, NOW + 120 + 900));
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

static void number(struct peers_news *n, unsigned int i)
{
  n->ip.bytes[0] = (unsigned char)(i >> 16);
  n->ip.bytes[1] = (unsigned char)(i >> 8);
  n->ip.bytes[2] = (unsigned char)i;
}

static double seconds(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* 100,000 peers stay, in less than 20 MB; tests/bench/peers shows the times */
static void test_many(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E9");
  struct peers *p = fresh();
  int found = 0, all = 0;
  struct stat st;
  double start;

  (void)state;
  start = seconds();
  for (unsigned int i = 0; i < 100000; i++) {
    number(&n, i);
    peers_learn(p, &n, NOW + i);
  }
  print_message("# peers: learned 100000 cards, %.0f ns each\n", (seconds() - start) * 1e4);
  start = seconds();
  for (unsigned int i = 0; i < 100000; i++) {
    number(&n, i);
    found += holds(p, &n, NOW + i);
  }
  print_message("# peers: looked up 100000 cards, %.0f ns each\n", (seconds() - start) * 1e4);
  start = seconds();
  for (unsigned int i = 200000; i < 300000; i++) {
    number(&n, i);
    found += holds(p, &n, NOW);
  }
  print_message("# peers: looked up 100000 strangers, %.0f ns each\n", (seconds() - start) * 1e4);
  assert_in_range(found, 99900, 100000);
  assert_int_equal(fstatat(dir, "peers", &st, 0), 0);
  assert_true(st.st_size <= 20000000);
  print_message("# peers: the file has %ld bytes\n", (long)st.st_size);
  peers_each(p, count, &all);
  assert_in_range(all, 99900, 100000);
  assert_int_equal(peers_forget(p, "all", 3), all);
  peers_close(p);
}

/* more than there is room for: the oldest go first */
static void test_too_many(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E9");
  struct peers *p = fresh();
  int found = 0, all = 0;

  (void)state;
  for (unsigned int i = 0; i < 300000; i++) {
    number(&n, i);
    peers_learn(p, &n, NOW + i);
  }
  for (unsigned int i = 299000; i < 300000; i++) {
    number(&n, i);
    found += holds(p, &n, NOW + i);
  }
  assert_true(found > 990);
  peers_each(p, count, &all);
  assert_in_range(all, 120000, PEERS_CARDS);
  peers_close(p);
}

/* what taught it is kept in words, with the time it was first seen */
static void test_evidence(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E7 550 550 Huh? \x01");
  struct peers *p = fresh();
  struct peers_evidence e;
  struct peers_card c;

  (void)state;
  peers_learn(p, &n, NOW);
  peers_learn(p, &n, NOW + 9);
  peers_card(p, &n.ip, 25, &c);
  peers_evidence(p, &c, FACT_HELO_ONLY, &e);
  assert_string_equal(e.text, "550 Huh? ?");
  assert_int_equal(e.since, NOW);
  assert_int_equal(peers_note(&c, FACT_HELO_ONLY)->last, NOW + 9);
  assert_int_equal(peers_note(&c, FACT_HELO_ONLY)->count, 2);
  peers_evidence(p, &c, FACT_DOWN, &e);
  assert_string_equal(e.text, "");
  peers_unlearn(p, &n);
  peers_learn(p, &n, NOW + 20);
  peers_evidence(p, &c, FACT_HELO_ONLY, &e);
  assert_int_equal(e.since, NOW + 20);
  peers_close(p);
}

/* when a fact's time is over one message tries without it; others wait for what it finds */
static void test_one_tries(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E9");
  struct peers *p = fresh();
  uint64_t later = NOW + DAY + 5;

  (void)state;
  assert_int_equal(peers_probation(p, &n, NOW), 0);
  peers_learn(p, &n, NOW);
  assert_int_equal(peers_probation(p, &n, NOW + 5), 0);
  assert_false(holds(p, &n, later));
  assert_int_equal(peers_probation(p, &n, later), 1);
  assert_true(holds(p, &n, later + 1));
  assert_int_equal(peers_probation(p, &n, later + 1), 0);
  assert_int_equal(peers_learn(p, &n, later + 10), later + 10 + 2 * DAY); /* proved again */
  later += 3 * DAY;
  assert_int_equal(peers_probation(p, &n, later), 1);
  assert_false(holds(p, &n, later + 901)); /* it was never heard of again: the next one tries */
  assert_int_equal(peers_unlearn(p, &n), 1);
  assert_int_equal(peers_learn(p, &n, later), later + DAY);
  peers_close(p);
}

/* A5: three closes in a row make a peer that is down, for a quarter of an hour; other hits
 * in between begin a new row */
static void test_closes(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_SOFT_HIT, "A5"), down = n;
  struct peers_news other = news("192.0.2.1", 25, FACT_SOFT_HIT, "B3 421");
  struct peers *p = fresh();

  (void)state;
  down.fact = FACT_DOWN;
  peers_learn(p, &n, NOW);
  peers_learn(p, &n, NOW + 1);
  peers_learn(p, &other, NOW + 2);
  peers_learn(p, &n, NOW + 3);
  peers_learn(p, &n, NOW + 4);
  assert_false(holds(p, &down, NOW + 4));
  peers_learn(p, &n, NOW + 5);
  assert_true(holds(p, &down, NOW + 5));
  assert_false(holds(p, &down, NOW + 5 + 900));
  peers_close(p);
}

/* a damaged card is an empty one */
static void test_damaged(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E9");
  struct peers *p = fresh();
  static char all[128 + PEERS_CARDS * 128];
  int fd = openat(dir, "peers", O_RDWR);

  (void)state;
  peers_learn(p, &n, NOW);
  assert_int_equal(pread(fd, all, sizeof all, 0), sizeof all);
  for (size_t i = 128; i < sizeof all; i += 128)
    if (all[i]) {
      all[i + 40] ^= 1;
      assert_int_equal(pwrite(fd, all + i, 128, (off_t)i), 128);
    }
  assert_false(holds(p, &n, NOW));
  peers_learn(p, &n, NOW);
  assert_true(holds(p, &n, NOW));
  close(fd);
  peers_close(p);
}

static void test_rcptmax(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_RCPT_MAX, "X26 452 452 too many"), back;
  char fact[PEERS_NEWS_FACT], evidence[PEERS_NEWS_EVIDENCE];
  struct peers *p = fresh();
  struct peers_card c;

  (void)state;
  n.value = 20;
  peers_news_format(&n, fact, evidence);
  assert_string_equal(fact, "rcptmax=20");
  assert_string_equal(evidence, "X26 452 452 too many");
  assert_int_equal(peers_news_fact(fact, strlen(fact), &back), 0);
  assert_int_equal(back.value, 20);
  assert_int_equal(peers_news_fact("helo-only=2", 11, &back), -1);
  assert_int_equal(peers_news_fact("rcptmax=", 8, &back), -1);
  assert_int_equal(peers_news_fact("rcptmax=99999", 13, &back), -1);
  peers_learn(p, &n, NOW);
  peers_card(p, &n.ip, 25, &c);
  assert_int_equal(c.rcpt_max, 20);
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

static void cut(off_t size)
{
  int fd = openat(dir, "peers", O_WRONLY);

  assert_int_equal(ftruncate(fd, size), 0);
  close(fd);
}

/* somebody cuts the file short, or the disk gives nothing back: what was remembered is gone, the
 * program is not */
static void test_cut_short(void **state)
{
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E9 0 why");
  struct peers *p = fresh(), *reader = peers_read(dir);
  struct peers_evidence e;
  struct peers_card c;
  int cards = 0;

  (void)state;
  assert_non_null(reader);
  peers_learn(p, &n, NOW);
  assert_true(holds(reader, &n, NOW));
  assert_int_equal(peers_card(p, &n.ip, 25, &c), 1);
  cut(0);
  assert_false(holds(p, &n, NOW));
  assert_false(holds(reader, &n, NOW));
  peers_evidence(reader, &c, FACT_HELO_ONLY, &e);
  assert_string_equal(e.text, "");
  peers_each(reader, count, &cards);
  assert_int_equal(cards, 0);
  peers_learn(p, &n, NOW);
  assert_true(holds(reader, &n, NOW));
  peers_close(reader);
  peers_close(p);
}

/* the file is sparse, and to use a place of it takes room on the disk */
static void test_full_disk(void **state)
{
  struct rlimit before, none = {4096, 0};
  struct peers_news n = news("192.0.2.1", 25, FACT_HELO_ONLY, "E9");
  struct peers *p = fresh();

  (void)state;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  none.rlim_max = before.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
  assert_int_equal(peers_learn(p, &n, NOW), 0); /* and nobody says it was learned */
  assert_int_equal(errno, EFBIG);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_false(holds(p, &n, NOW));
  assert_int_equal(peers_learn(p, &n, NOW), NOW + DAY);
  assert_true(holds(p, &n, NOW));
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
  assert_int_equal(peers_unlearn(p, &n), -1);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_true(holds(p, &n, NOW));
  peers_close(p);
}

/* addresses chosen so that all of them would lie where one peer does: it is not forgotten */
static void test_crowd(void **state)
{
  struct peers_news victim = news("192.0.2.1", 25, FACT_TLS_SEEN, "T9");
  struct peers_news n = news("2001:db8::1", 25, FACT_DOWN, "A1");
  struct peers *p = fresh();
  unsigned char key[20] = {0};
  uint64_t crowded;

  (void)state;
  memcpy(key + 18, &n.port, sizeof n.port);
  memcpy(key, victim.ip.bytes, 16);
  key[16] = 4;
  crowded = XXH3_64bits(key, sizeof key) & (PEERS_CARDS - 1);
  peers_learn(p, &victim, NOW);
  memcpy(key, n.ip.bytes, 16);
  key[16] = 6;
  for (uint32_t i = 0, found = 0; found < 64; i++) {
    memcpy(key + 8, &i, sizeof i);
    if ((XXH3_64bits(key, sizeof key) & (PEERS_CARDS - 1)) != crowded)
      continue;
    memcpy(n.ip.bytes, key, 16);
    peers_learn(p, &n, NOW + ++found);
  }
  assert_true(holds(p, &victim, NOW));
  peers_close(p);
}

/* cards whose time is in the future, damaged ones and those of a wrong clock, make room first */
static void test_future(void **state)
{
  static unsigned char cards[PEERS_CARDS * 128];
  struct peers_news n = news("192.0.2.1", 25, FACT_DOWN, "A1");
  struct peers *p = fresh();
  int fd = openat(dir, "peers", O_WRONLY);

  (void)state;
  for (uint32_t i = 0; i < PEERS_CARDS; i++) {
    unsigned char *c = cards + 128 * i;
    uint32_t sum;
    c[16] = 6;
    memcpy(c, &i, sizeof i);
    memcpy(c + 18, &n.port, sizeof n.port);
    memset(c + 20, 0xff, 4); /* used */
    sum = (uint32_t)XXH3_64bits(c, 128);
    memcpy(c + 28, &sum, i % 2 ? sizeof sum : 0);
  }
  assert_int_equal(pwrite(fd, cards, sizeof cards, 128), sizeof cards);
  close(fd);
  for (uint32_t i = 0; i < 20000; i++) {
    memcpy(n.ip.bytes, &i, sizeof i);
    peers_learn(p, &n, NOW);
  }
  for (uint32_t i = 0; i < 20000; i++) {
    memcpy(n.ip.bytes, &i, sizeof i);
    if (!holds(p, &n, NOW))
      fail_msg("card %u made room for another", i);
  }
  n.fact = FACT_TLS_SEEN;
  peers_learn(p, &n, NOW + 366 * DAY);
  assert_false(holds(p, &n, NOW));
  assert_true(holds(p, &n, NOW + 370 * DAY));
  peers_close(p);
}

/* what attempts inherit allows them to read */
static void test_descriptor(void **state)
{
  struct peers *p = fresh();

  (void)state;
  assert_int_equal(fcntl(peers_descriptor(p), F_GETFL) & O_ACCMODE, O_RDONLY);
  assert_int_equal(peers_descriptor(NULL), -1);
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
  static char big[20 << 20];
  struct peers_news n = news("192.0.2.1", 25, FACT_DOWN, "A1");
  struct peers *p;
  int all = 0;

  (void)state;
  write_file("", 0);
  assert_null(peers_read(dir));
  write_file("heloise-peers 2\n", 16);
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
  memcpy(big, "heloise-peers 2\n", 16);
  write_file(big, 128 + PEERS_CARDS * 128 + PEERS_TEXTS * 96);
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
  static const char *const bad[] = {"", " ", "e9", "TOOLONG", "E9 ", "E9 x", "E9 1000", "E9x 5", "9E",
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
    cmocka_unit_test(test_connect_hang), cmocka_unit_test(test_too_many),
    cmocka_unit_test(test_evidence),  cmocka_unit_test(test_one_tries),
    cmocka_unit_test(test_closes),    cmocka_unit_test(test_damaged),
    cmocka_unit_test(test_rcptmax),   cmocka_unit_test(test_cut_short),
    cmocka_unit_test(test_crowd), cmocka_unit_test(test_future),    cmocka_unit_test(test_full_disk), cmocka_unit_test(test_descriptor),
  };

  return cmocka_run_group_tests_name("peers", tests, set_up, tear_down);
}
