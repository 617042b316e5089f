/* report.h - what an attempt tells its spawner: results, steps, what it learned
 *
 * On the REPORT channel, which the spawner relays; the spawner trusts none of it. */
#ifndef DELIVER_REPORT_H
#define DELIVER_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/ip.h"
#include "common/verdict.h"
#include "deliver/offers.h"
#include "deliver/peers.h"

#define REPORT_TEXT 2000 /* bytes of a reply that go into a message */

struct report_result {
  size_t recipient;
  enum verdict verdict;
  uint64_t until; /* 0 unless V_TEMP */
  const char *status, *text;
  int is_uncharged; /* it does not count as an attempt */
  int is_relayed;   /* taken by a host that makes no reports of its own */
  enum report_host { REPORT_ANSWERED, REPORT_LOST, REPORT_UNREACHED, REPORT_OURS } host; /* wire.def */
};

struct report_step {
  const char *host, *address, *rung, *event, *reply;
};

/* each returns 0, or -1 when the spawner is gone */
int report_said(int sock, const struct report_result *r);
int report_step(int sock, const struct report_step *s);
int report_learned(int sock, const struct peers_news *n);
int report_unlearned(int sock, const struct peers_news *n);
/* a fact's time is over, and this attempt tries without it */
int report_trying(int sock, const struct peers_news *n);
/* a fact that was known before, and until when */
int report_knew(int sock, const struct peers_news *n, uint64_t until);
/* how the peer was greeted */
int report_greeted(int sock, const struct offers_card *g);
/* what was said, as lines of queue/dialogue.h */
int report_spoken(int sock, const stralloc *lines);

/* how it ends: the rest of what was said, and a result that was not told before, or NULL */
struct report_last {
  const stralloc *lines;
  const struct report_result *result;
};
int report_ended(int sock, const struct report_last *last);
/* the same, but the connection to that ADDR:PORT is kept for so long */
int report_stays(int sock, const char *peer, uint64_t ms, const struct report_last *last);
/* the connection that was kept is of no use any more */
int report_left(int sock);
/* another process speaks from here on: its pidfd */
int report_born(int sock, int process);
/* the same, to be sent by heir_follow(): the bytes of it. 0, or -1 */
int report_born_packet(stralloc *packet);

#endif
