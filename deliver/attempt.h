/* attempt.h - one delivery attempt: one message, one next hop, some of its recipients
 *
 * Blocking; runs in a process of its own. It finds the hosts, climbs the ladder at one address
 * after the other, and reports a result for each recipient. LADDER.md 0. */
#ifndef DELIVER_ATTEMPT_H
#define DELIVER_ATTEMPT_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/eightbit.h"
#include "common/ip.h"
#include "common/route.h"
#include "common/table.h"
#include "common/verdict.h"
#include "deliver/ladder.h"
#include "deliver/offers.h"
#include "deliver/peers.h"
#include "deliver/report.h"
#include "deliver/spoken.h"
#include "queue/envelope.h"
#include "resolve/ask.h"

#define ATTEMPT_OWN 64 /* addresses this instance listens on */

struct session;

struct attempt_own {
  size_t n;
  struct {
    struct ip ip;
    uint16_t port;
    int is_any; /* 0.0.0.0 or :: */
  } at[ATTEMPT_OWN];
};

/* what the spawner knows */
struct attempt_given {
  const char *id;
  const char *nexthop, *ranges; /* as in WIRE_ATTEMPT */
  unsigned int tries;           /* earlier attempts */
  uint64_t created;             /* when the message came, by the clock of today; 0: as its file says */
  int message, ask, report;     /* descriptors; ask may be -1 */
  const struct table *table;
  const struct peers *peers;
  const struct offers *offers;  /* NULL: greetings are not reported */
  const struct attempt_own *own;
};

struct recipient {
  size_t number; /* in the envelope */
  const struct envelope_rcpt *rcpt;
  int is_settled;      /* its result was reported */
  int is_sent;         /* in the transaction under way */
  int is_accepted;     /* there, by the peer */
  int has_dsn;         /* there, the peer was told which reports the sender wants */
  int was_answered;    /* at this address a reply was about it alone */
  unsigned int finals; /* 1 << enum ladder_final of each address that failed */
  enum report_host host; /* whether its last failure was about it, or about a host */
  int was_moved;       /* the last attempt was moved to when a reply asked (statedelay.h) */
  char status[REPLY_STATUS];
  stralloc text; /* of its last failure; at most REPORT_TEXT bytes are used */
};

/* one address to try */
struct target {
  char host[ASK_NAME_MAX + 1];
  struct ip ip;
  uint16_t port;
  uint16_t preference;
  int is_avoided; /* its card says down or not-smtp: only when there is nothing else */
  int is_last;    /* it refused us lately, or there was no route: after all others */
  int is_slow;    /* after others of its preference */
  int is_first;   /* it may have the message already */
  int is_tried;
  int is_in_clear;    /* TLS failed here and nobody else took the mail: now without */
  unsigned int connections; /* opened so far */
  int is_later;       /* to be returned to, */
  uint32_t off;       /* without these verbs, */
  enum ladder_rung greeting; /* greeted so, */
  uint64_t facts;     /* of enum ladder_fact: why */
  const struct ladder_row *row; /* to be learned if that works; NULL: nothing */
  uint16_t code;
  char text[PEERS_TEXT];
};

struct attempt {
  const struct attempt_given *given;
  struct nexthop hop;
  struct envelope env;
  size_t n;
  struct recipient *recipient;
  uint64_t now;
  unsigned int addresses, sessions; /* tried so far */
  int is_uncharged;                 /* it does not count: nothing was tried but one that is down */
  int dead_family;                  /* 4 or 6: there was no route to such an address (A3) */
  uint64_t tried_at;                /* when it was last tried before, by its history; 0: not known */
  char lost_at[IP_TEXT];            /* where the last attempt's message may have arrived (D13), or "" */
  struct spoken spoken;             /* what was said to the peers and by them */
  int is_probe;                     /* the ladder is climbed, up to RCPT when there are recipients */
  /* signed 8-bit mail (LADDER.md X14) */
  struct eightbit_case eight;
  unsigned int best;              /* preference of the best host */
  struct target tried;            /* the one whose connection was taken over */
  size_t others;                  /* addresses that come after the one being tried */
  unsigned int later;             /* addresses to return to; a session is kept for each */
  const struct recipient *untold;   /* the only one, delivered: that goes with the last report */
  int has_deviated;                 /* something of note happened: steps are reported from here on */
};

/* runs it to the end; the exit code of its process. s: the connection of an attempt before it in the
 * same process line, or one that is closed; open afterwards when it stays (STAYS was reported). */
int attempt_run(const struct attempt_given *g, struct session *s);

/* reports a recipient's result: delivered, failed, or to be tried again, not before `wait`
 * seconds. A temporary result past the message's life is a failure. */
void attempt_settle(struct attempt *a, struct recipient *r, enum verdict v, uint64_t wait);
/* whether the limits let it open another session, and keep some for returning */
int attempt_has_sessions(const struct attempt *a, unsigned int keep);
/* how many recipients have no result yet */
size_t attempt_left(const struct attempt *a);
/* "0-4,9": marks the numbers named in it, ascending, below max, in set[max]. How many, or 0
 * when it is malformed. Pure. */
size_t attempt_ranges(const char *s, size_t max, unsigned char *set);
/* whether the message cannot go without SMTPUTF8: a local part or its header is not ASCII, or a
 * domain has no A-labels */
int attempt_needs_utf8(const struct attempt *a);
/* whether this instance itself listens there (LADDER.md A9) */
int attempt_is_own(const struct attempt_own *own, const struct ip *ip, uint16_t port);
/* the addresses in table `listen` */
void attempt_own_find(const struct table *t, struct attempt_own *own);

#endif
