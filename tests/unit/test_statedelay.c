/* test_statedelay.c - replies that say when to come back, and those that do not */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/statedelay.h"

static const struct {
  const char *text;
  uint64_t seconds;
} cases[] = {
  {"451 4.7.1 try again in 300 seconds", 300},
  {"450 4.2.0 <bob@peer.example>: Recipient address rejected: Greylisted, see "
   "http://postgrey.schweikert.ch/help/peer.example.html", 0},
  {"451 4.7.1 Greylisted for 5 minutes", 300},
  {"451 4.7.1 Greylisting in action, please come back in 00:04:59", 299},
  {"450 please retry after 00:05:00", 300},
  {"451 come back in 1 hour", 3600},
  {"451 4.7.1 Please wait 10 minutes before retrying", 600},
  {"450 4.7.1 Greylisted, please try again in 180 seconds.", 180},
  {"451 DT:SPM greylisted, retry in 2 min", 120},
  {"421 4.7.0 Try again later, closing connection. (retry in 1h30m)", 5400},
  {"451 4.7.1 Greylisting in action, please try later (29 min, 30 secs)", 1770},
  {"451 Try again in 1 hour, 5 minutes and 3 seconds", 3903},
  {"451 Try again in 1 hour 5 min", 3900},
  {"450 4.7.0 try again after 90s", 90},
  {"451 greylisted; expires 04:59", 299},
  {"450 wait at least 120 seconds and resend", 120},
  {"451 Greylisted. Remaining time: 240 seconds", 240},
  {"451 temporarily deferred, retry in about 15 mins", 900},
  {"TRY AGAIN IN 5 MINUTES", 300},
  {"421 4.7.0 too many connections, try again in 60 seconds", 60},
  {"450 rate limit exceeded; retry in 10 minutes", 600},
  {"450 4.7.1 too many connections in 60 seconds, wait 5 minutes", 300},
  {"451 4.7.1 Again in 5 min, please", 300},
  {"451 try again in 15:30", 930},
  {"451 try again in 1:00:00", 3600},
  /* numbers that are none */
  {"", 0},
  {"451 4.3.2 try again later", 0},
  {"450 4.7.1 too many connections: 5 per 60 seconds, try later", 0},
  {"452 4.3.1 insufficient storage, 300 seconds", 0},
  {"451 try again in 300", 0},
  {"451 try again in 300 messages", 0},
  {"450 [192.0.2.1]:25 in 5 parts", 0},
  {"451 wait for 99999999999999999999 seconds", 0},
  {"451 wait for 9999999 days", 0},
  {"451 wait 0 seconds", 0},
  {"451 4.4.3 lookup timed out after 30 seconds, try again later", 0},
  {"450 timeout after 5 min; retry after 10 min", 600},
  {"451 try again at 12:30:00 or so", 0},
  {"451 try again in 00:99:00", 0},
  {"451 retry after 2026-01-01 00:05:00", 0},
  {"451 id 20a13s in 5 m/s, wait", 300},
  {"421 4.7.0 too many connections in 60 seconds, try again later", 0},
  {"450 try again later: more than 100 messages within 1 hour", 0},
  {"450 rate limit reached in 10 minutes, retry later", 0},
  {"450 5 connections in 60 seconds, try later", 0},
  {"450 please wait, 100 recipients within 30 minutes", 0},
  {"451 try again after 15:30", 0},
  {"451 greylisted until 15:30", 0},
  {"451 retry after 15:30:00", 0},
  {"451 come again 15:30", 0},
  {"451 retry after 00:59", 0},
  {"451 try again in", 0},
  {"w", 0},
};

static void test_texts(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t got = statedelay_find(cases[i].text, strlen(cases[i].text));
    if (got != cases[i].seconds)
      fail_msg("\"%s\": %llu", cases[i].text, (unsigned long long)got);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts)};

  return cmocka_run_group_tests_name("statedelay", tests, NULL, NULL);
}
