/* test_schedule.c - whose turn it is, and what becomes of destinations that are down
 *
 * The messages are no messages: what schedule.c asks of work.c and due.c is answered here. */
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
#include <xxhash.h>

#include "common/settings.h"
#include "common/table.h"
#include "queue/clock.h"
#include "queue/line.h"
#include "queue/recovery.h"
#include "queue/schedule.h"
#include "queue/waiting.h"

static uint64_t now = 1000000;
static struct table *table;
static size_t shut_out;

uint64_t __wrap_loop_now(void);
const struct table *__wrap_program_table(void);
struct job *__wrap_due_job(struct work *w, struct batch *b, size_t limit);
void __wrap_work_batch_over(struct work *w);
void __wrap_work_shut_out(struct work *w, const struct batch *b, const struct destination *d);
int __wrap_due_is_elsewhere(const struct work *w, const struct batch *b, const char *nexthop);
void __wrap_work_reroute(struct work *w);

uint64_t __wrap_loop_now(void)
{
  return now;
}

const struct table *__wrap_program_table(void)
{
  return table;
}

struct job *__wrap_due_job(struct work *w, struct batch *b, size_t limit)
{
  struct job *j = calloc(1, sizeof *j);

  j->work = w;
  j->attempt = w->is_again ? 2 : 1;
  j->nrcpt = b->n < limit ? b->n : limit;
  b->n -= j->nrcpt;
  b->from += j->nrcpt;
  w->jobs++;
  return j;
}

void __wrap_work_batch_over(struct work *w)
{
  w->batches--;
}

void __wrap_work_shut_out(struct work *w, const struct batch *b, const struct destination *d)
{
  (void)b;
  (void)d;
  w->batches--;
  shut_out++;
}

static const struct work *moved;
static size_t rerouted;

int __wrap_due_is_elsewhere(const struct work *w, const struct batch *b, const char *nexthop)
{
  (void)b;
  (void)nexthop;
  return moved && w != moved; /* all but this one */
}

void __wrap_work_reroute(struct work *w)
{
  w->batches--;
  rerouted++;
}

/* ---- a few words for what happens */

static void add(struct work *w, const char *hop, size_t n)
{
  struct batch b = {.n = n};

  assert_int_equal(schedule_add(w, &b, hop, WORK_DELIVER, XXH3_64bits(hop, strlen(hop))), 0);
}

static struct job *next(void)
{
  return schedule_next(WORK_DELIVER);
}

enum how { TOOK, LOST, DIED };

static void land(struct job *j, enum how how)
{
  struct destination *d = j->to;
  int is_doubtful = j->is_doubtful;

  j->answers = how == TOOK;
  j->unreached = how == LOST;
  d->is_proven = how == TOOK;
  schedule_judge(j);
  j->work->jobs--;
  free(j);
  schedule_landed(d, is_doubtful);
}

static void run_dry(void)
{
  struct job *j;

  while ((j = next()))
    land(j, DIED);
}

static uint32_t hop_of(const char *hop)
{
  return store_hop_hash(hop, strlen(hop));
}

static uint32_t message(unsigned int i, uint32_t hop, enum line_kind line)
{
  struct store_name n = {.state = STORE_CUR, .next = 2000000000, .hop = hop};
  uint32_t h;

  snprintf(n.id, sizeof n.id, "%013u00", i);
  h = waiting_add(&n);
  if (line != LINE_NONE)
    line_join(h, hop, line);
  return h;
}

static size_t called(void)
{
  size_t n = 0;

  for (uint32_t h; (h = waiting_first()) != WAITING_NONE && waiting_at(h)->due == 0; n++)
    waiting_take(h);
  return n;
}

static void make_table(const char *key, const char *value)
{
  int fd = memfd_create("table", 0);
  struct table_maker *m = table_maker_start(fd);
  struct ip_net net;

  if (ip_net_parse(key, strlen(key), &net) == 0)
    assert_int_equal(table_maker_add_net(m, "peers", "", &net, value, strlen(value)), 0);
  else
    assert_int_equal(table_maker_add(m, "peers", key, strlen(key), value, strlen(value)), 0);
  assert_int_equal(table_maker_finish(m), 0);
  table_close(table);
  table = table_open(fd);
  close(fd);
  schedule_tables();
}

static void drop_table(void)
{
  table_close(table);
  table = NULL;
  schedule_tables();
}

static int setup(void **state)
{
  (void)state;
  clock_feed(1800000000000, 1000);
  settings.queue_attempts = 100;
  settings.local_attempts = 20;
  settings.destination_attempts = 20;
  settings.destination_attempts_initial = 5;
  settings.attempt_recipients = 100;
  settings.smtp_port = 25;
  return 0;
}

/* ---- turns */

static void test_a_single_message_beside_a_long_list(void **state)
{
  struct work list = {0}, single = {0};
  struct job *j;

  (void)state;
  add(&list, "mx:turns.example", 100000);
  j = next();
  assert_ptr_equal(j->work, &list);
  assert_int_equal(j->nrcpt, 100);
  add(&single, "mx:turns.example", 1);
  land(j, TOOK);
  land(next(), TOOK);
  land(next(), TOOK);
  assert_int_equal(single.batches, 0); /* one of the two was its */
  assert_int_equal(list.batches, 1);
  schedule_withdraw(&list);
  assert_int_equal(list.batches, 0);
  assert_null(next());
}

/* many lists, and then one more message: it comes after each of them had one turn more at most */
static void test_turns_of_messages(void **state)
{
  struct work list[40] = {{0}}, single = {0};
  struct job *j;
  size_t before = 0;

  (void)state;
  for (size_t i = 0; i < 40; i++)
    add(&list[i], "mx:many.example", 5000);
  for (int i = 0; i < 60; i++)
    land(next(), TOOK);
  add(&single, "mx:many.example", 1);
  while ((j = next()) && j->work != &single) {
    before++;
    land(j, TOOK);
  }
  assert_non_null(j);
  assert_true(before <= 41);
  land(j, TOOK);
  for (size_t i = 0; i < 40; i++)
    schedule_withdraw(&list[i]);
  assert_null(next());
}

/* a message of many destinations is withdrawn: from the first place, the last and those between */
static void test_withdrawn(void **state)
{
  struct work w[5] = {{0}};
  struct job *j, *flying;
  size_t n[5] = {0};

  (void)state;
  add(&w[4], "mx:withdrawn0.example", 1);
  flying = next();
  for (int d = 0; d < 3; d++)
    for (int i = 0; i < 4; i++) {
      char hop[32];
      snprintf(hop, sizeof hop, "mx:withdrawn%d.example", d);
      add(&w[i], hop, 1);
    }
  schedule_withdraw(&w[1]);
  schedule_withdraw(&w[3]);
  schedule_withdraw(&w[0]);
  schedule_withdraw(&w[0]);
  for (int i = 0; i < 4; i++)
    assert_int_equal(w[i].batches, i == 2 ? 3 : 0);
  add(&w[1], "mx:withdrawn2.example", 1);
  land(flying, TOOK);
  while ((j = next())) {
    n[j->work - w]++;
    land(j, TOOK);
  }
  assert_int_equal(n[0] + n[3] + n[4], 0);
  assert_int_equal(n[1], 1);
  assert_int_equal(n[2], 3);
}

/* the room it leaves at its destination is for those that wait outside */
static void test_room_of_a_withdrawn(void **state)
{
  static struct work w[80];
  uint32_t hop = hop_of("mx:room.example");

  (void)state;
  for (size_t i = 0; i < 80; i++)
    add(&w[i], "mx:room.example", 1);
  message(900, hop, LINE_NEW);
  assert_int_equal(called(), 0);
  schedule_withdraw(&w[40]);
  assert_int_equal(called(), 1);
  for (size_t i = 0; i < 80; i++)
    schedule_withdraw(&w[i]);
  assert_null(next());
}

/* what was tried before and what was not take turns, whatever the numbers */
static void test_lanes(void **state)
{
  struct work fresh[3] = {{0}}, again[50];
  size_t n[2] = {0};

  (void)state;
  memset(again, 0, sizeof again);
  for (size_t i = 0; i < 50; i++) {
    again[i].is_again = 1;
    add(&again[i], "mx:lanes.example", 1);
  }
  for (size_t i = 0; i < 3; i++)
    add(&fresh[i], "mx:lanes.example", 1);
  for (int i = 0; i < 8; i++) {
    struct job *j = next();
    n[j->work->is_again]++;
    land(j, TOOK);
  }
  assert_int_equal(n[0], 3);
  assert_int_equal(n[1], 5);
  run_dry();
}

/* mail for destinations that take none, tried before, leaves a quarter of the places to new mail */
static void test_doubtful(void **state)
{
  static struct work again[200], fresh;
  static struct job *flying[200];
  char hop[32];
  struct job *j;
  size_t n = 0;

  (void)state;
  for (size_t i = 0; i < 200; i++) {
    again[i].is_again = 1;
    snprintf(hop, sizeof hop, "mx:doubt%zu.example", i);
    add(&again[i], hop, 1);
  }
  while ((j = next()))
    flying[n++] = j;
  assert_int_equal(n, 75);
  add(&fresh, "mx:new.example", 1);
  j = next();
  assert_ptr_equal(j->work, &fresh);
  land(j, TOOK);
  while (n > 0)
    land(flying[--n], DIED);
  run_dry();
}

static void test_window(void **state)
{
  struct work w = {0};
  struct job *j[30];
  size_t n = 0;

  (void)state;
  add(&w, "mx:window.example", 100000);
  while ((j[n] = next()))
    n++;
  assert_int_equal(n, 5);
  for (size_t i = 0; i < 5; i++)
    land(j[i], TOOK);
  for (n = 0; (j[n] = next());)
    n++;
  assert_int_equal(n, 6); /* the first of them found the window full */
  while (n > 0)
    land(j[--n], LOST);
  assert_null(next()); /* down */
  assert_int_equal(w.batches, 0);
}

/* ---- down, and up again */

#define HOP "mx:down.example"

static void bring_down(void)
{
  static struct work w[40];
  struct job *j[5];

  memset(w, 0, sizeof w);
  for (size_t i = 0; i < 40; i++)
    add(&w[i], HOP, 1);
  for (size_t i = 0; i < 5; i++) {
    j[i] = next();
    j[i]->until = clock_wall() + 400;
    snprintf(j[i]->why, sizeof j[i]->why, "refused");
  }
  shut_out = 0;
  for (size_t i = 0; i < 5; i++)
    land(j[i], LOST);
  assert_int_equal(shut_out, 35);
}

static void test_down_and_up(void **state)
{
  struct work probe = {.is_again = 1}, more = {.is_again = 1};
  uint32_t hop = hop_of(HOP), due[2];
  char text[RECOVERY_TEXT];
  const char *why;
  uint64_t when;
  struct job *j;

  (void)state;
  for (unsigned int i = 0; i < 100; i++)
    message(100 + i, hop, LINE_HELD);
  due[1] = message(51, hop, LINE_NONE);
  due[0] = message(50, hop, LINE_NONE);
  bring_down();
  assert_true(recovery_is_down(hop, &why, &when));
  assert_string_equal(why, "refused");
  assert_int_equal(when, clock_wall() + 61);
  assert_true(recovery_is_shut(hop, LANE_AGAIN, 0));
  assert_false(recovery_is_shut(hop, LANE_AGAIN, 1)); /* an administrator wants to know now */
  assert_true(recovery_is_shut(hop, LANE_NEW, 0));
  recovery_explain(HOP, text);
  assert_non_null(strstr(text, "is down since"));
  recovery_park(hop, due[1], 1900000000);
  recovery_park(hop, due[0], 1900000000);
  assert_int_equal(called(), 0);

  /* its time comes: one is called, the oldest */
  now += 60000;
  assert_false(recovery_is_shut(hop, LANE_AGAIN, 0));
  recovery_probe(schedule_by_hop(hop));
  assert_int_equal(waiting_first(), due[0]);
  assert_int_equal(called(), 1);
  add(&probe, HOP, 1);
  assert_true(recovery_is_shut(hop, LANE_AGAIN, 0)); /* the others stay */
  assert_true(recovery_is_shut(hop, LANE_AGAIN, 1));
  j = next();
  assert_ptr_equal(j->work, &probe);
  assert_true(j->is_probe);
  assert_null(next());
  j->until = clock_wall() + 1000;
  land(j, LOST);
  assert_true(recovery_is_down(hop, &why, &when));
  assert_int_equal(when, clock_wall() + 121); /* after twice as long */

  /* never later than the probe itself is due */
  now += 120000;
  add(&probe, HOP, 1);
  j = next();
  j->until = clock_wall() + 7;
  land(j, LOST);
  assert_true(recovery_is_down(hop, &why, &when));
  assert_int_equal(when, clock_wall() + 8);

  /* an attempt that failed on this side says nothing: the next probe comes after the same gap */
  now += 7000;
  add(&probe, HOP, 1);
  j = next();
  assert_true(j->is_probe);
  j->until = clock_wall() + 1000;
  land(j, DIED);
  assert_true(recovery_is_down(hop, &why, &when));
  assert_int_equal(when, clock_wall() + 241);
  assert_int_equal(called(), 0);
  now += 240000;

  /* one gets through: that which is due and twenty of those held, then two with each */
  now += 7000;
  schedule_turn();
  add(&probe, HOP, 1);
  land(next(), TOOK);
  assert_false(recovery_is_down(hop, &why, &when));
  assert_int_equal(called(), 21);
  add(&more, HOP, 1);
  land(next(), TOOK);
  assert_int_equal(called(), 2);
  assert_string_equal(waiting_at(line_first(hop, LINE_HELD))->id, "000000000012200");
  run_dry();
}

/* its route leads elsewhere now: none of those that are called becomes a job, and twice as many are */
static void test_rerouted(void **state)
{
  uint32_t hop = hop_of("mx:moved.example");
  struct work w[5] = {{0}};
  struct job *j[5];
  struct destination *d;
  size_t wakes = 0, n = 0;
  uint64_t at;

  (void)state;
  for (size_t i = 0; i < 5; i++)
    add(&w[i], "mx:moved.example", 1);
  for (size_t i = 0; i < 5; i++)
    j[i] = next();
  for (size_t i = 0; i < 5; i++)
    land(j[i], LOST);
  for (unsigned int i = 0; i < 1000; i++)
    recovery_park(hop, message(5000 + i, hop, LINE_NONE), 1900000000);
  d = schedule_by_hop(hop);
  at = d->wake.at - CONCURRENCY_PROBE_FIRST * 1000;
  schedule_tables();
  assert_int_equal(d->wake.at, at); /* at once */
  for (; n < 1000 && wakes < 20; wakes++) {
    assert_true(d->wake.place != 0 && d->wake.at <= at + 1000);
    loop_timer_stop(&d->wake);
    d->wake.fire(&d->wake);
    n += called();
  }
  assert_int_equal(n, 1000);
  assert_true(wakes <= 10);
}

/* the same while it is up, but its rate lets nothing through: batches leave, and the line comes */
static void test_rerouted_while_up(void **state)
{
  static struct work w[80];
  uint32_t hop = hop_of("mx:slow.example");
  struct loop_timer soon = {0};
  struct destination *d;
  size_t n = 0;

  (void)state;
  loop_timer_in(&soon, 1000);
  make_table("slow.example", "rate=1/1h");
  for (size_t i = 0; i < 80; i++)
    add(&w[i], "mx:slow.example", 1);
  land(next(), TOOK);
  assert_null(next());
  add(&w[0], "mx:slow.example", 1);
  for (unsigned int i = 0; i < 1000; i++)
    recovery_park(hop, message(7000 + i, hop, LINE_NONE), 1900000000);
  assert_int_equal(called(), 0);
  d = schedule_by_hop(hop);
  moved = &w[0];
  rerouted = 0;
  schedule_tables();
  assert_int_equal(rerouted, 79);
  assert_int_equal(d->batches, 1);
  assert_ptr_equal(d->lane[LANE_NEW].first->work, &w[0]);
  for (int wakes = 0; n < 1000 && wakes < 20; wakes++) {
    assert_true(d->wake.place != 0 && d->wake.at <= soon.at);
    schedule_turn();
    loop_timer_stop(&d->wake);
    d->wake.fire(&d->wake);
    n += called();
  }
  assert_int_equal(n, 1000);
  loop_timer_stop(&soon);
  moved = NULL;
  schedule_withdraw(&w[0]);
  drop_table();
}

/* a message whose life is over: on the word of a fresh failure it goes back, else it is tried */
static void test_last_word(void **state)
{
  uint32_t hop = hop_of("mx:last.example");
  struct work w[5] = {{0}}, probe = {0};
  struct job *j[5];
  const char *why = "";

  (void)state;
  assert_int_equal(recovery_last_word(hop, &why), RECOVERY_TRY);
  for (size_t i = 0; i < 5; i++)
    add(&w[i], "mx:last.example", 1);
  for (size_t i = 0; i < 5; i++)
    j[i] = next();
  for (size_t i = 0; i < 5; i++) {
    snprintf(j[i]->why, sizeof j[i]->why, "silence");
    land(j[i], LOST);
  }
  assert_int_equal(recovery_last_word(hop, &why), RECOVERY_EXPIRE);
  assert_string_equal(why, "silence");
  now += 61000;
  assert_int_equal(recovery_last_word(hop, &why), RECOVERY_TRY);
  add(&probe, "mx:last.example", 1);
  assert_int_equal(recovery_last_word(hop, &why), RECOVERY_WAIT);
  land(next(), TOOK);
  assert_int_equal(recovery_last_word(hop, &why), RECOVERY_TRY);
}

/* ---- table peers */

static size_t count(struct job **j)
{
  size_t n = 0;

  while ((j[n] = next()))
    n++;
  return n;
}

static void test_peers(void **state)
{
  static const struct {
    const char *key, *hop;
    size_t n;
  } c[] = {
    {"peers.example", "mx:peers.example", 2},
    {".example", "mx:a.example", 2},
    {"mx.peers.example", "host:[mx.peers.example]:25", 2},
    {"192.0.2.0/24", "host:[192.0.2.7]:2525", 2},
    {"192.0.2.7:2525", "host:[192.0.2.7]:2525", 2},
    {"192.0.2.7:25", "host:[192.0.2.7]:2525", 5},
    {"*", "mx:b.example", 2},
    {"elsewhere.example", "mx:peers.example", 5},
  };
  struct job *j[30];

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    struct work w = {0};
    size_t n;
    make_table(c[i].key, "conns=2");
    add(&w, c[i].hop, 1000);
    n = count(j);
    if (n != c[i].n)
      fail_msg("%s for %s: %zu at once", c[i].key, c[i].hop, n);
    make_table(c[i].key, "conns=3"); /* other tables count at once */
    if (n == 2)
      j[n++] = next();
    assert_null(next());
    schedule_withdraw(&w);
    while (n > 0)
      land(j[--n], DIED);
    run_dry();
  }
  drop_table();
}

static void test_rate(void **state)
{
  struct work w = {0};
  char text[RECOVERY_TEXT];
  struct job *j[30];
  size_t n;

  (void)state;
  make_table("rate.example", "rate=4/1m");
  add(&w, "mx:rate.example", 1000);
  n = count(j);
  assert_int_equal(n, 4);
  recovery_explain("mx:rate.example", text);
  assert_non_null(strstr(text, "4 messages in 1m"));
  while (n > 0)
    land(j[--n], TOOK);
  assert_null(next());
  now += 60000;
  schedule_ready(schedule_by_hop(hop_of("mx:rate.example")));
  n = count(j);
  assert_int_equal(n, 4);
  schedule_withdraw(&w);
  while (n > 0)
    land(j[--n], TOOK);
  drop_table();
  run_dry();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_single_message_beside_a_long_list),
    cmocka_unit_test(test_turns_of_messages),
    cmocka_unit_test(test_withdrawn),
    cmocka_unit_test(test_room_of_a_withdrawn),
    cmocka_unit_test(test_lanes),
    cmocka_unit_test(test_doubtful),
    cmocka_unit_test(test_window),
    cmocka_unit_test(test_down_and_up),
    cmocka_unit_test(test_rerouted),
    cmocka_unit_test(test_rerouted_while_up),
    cmocka_unit_test(test_last_word),
    cmocka_unit_test(test_peers),
    cmocka_unit_test(test_rate),
  };

  return cmocka_run_group_tests_name("schedule", tests, setup, NULL);
}
