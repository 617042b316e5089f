/* judge.h - may this client, with this name, send this to them? The one decision
 *
 * Pure: all facts come in, nothing is asked or counted here. heloise-smtpd and `heloise access
 * test` call the same function. heloise-tables(5), "Who decides", tells the rules to people. */
#ifndef SMTPD_JUDGE_H
#define SMTPD_JUDGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/access.h"
#include "common/ip.h"
#include "common/table.h"
#include "smtpd/session.h"

/* what DNS says of a client (clientdns.h) */
enum judge_host {
  HOST_UNASKED,
  HOST_VERIFIED, /* its name leads back to its address */
  HOST_UNKNOWN,  /* it has no name, or none that does */
  HOST_UNSURE    /* that could not be found out now */
};

struct judge_hit {
  char zone[184];
  char text[200]; /* the zone's TXT record, printable; "" */
  int weight;
};

#define JUDGE_HITS 24

struct judge_dns {
  enum judge_host host_is;
  int is_for_access; /* table access has lines for host names */
  char host[256]; /* of HOST_VERIFIED: lower case */
  size_t n;
  struct judge_hit hit[]; /* lists that have it, and that weigh something */
};

struct judge_facts {
  const struct table *table;
  struct ip ip;
  const char *address;         /* the same as text */
  const struct judge_dns *dns; /* NULL: nothing was asked */
  const char *login, *tls;     /* "", "": nobody, in clear; a version as OpenSSL writes it */
  const char *helo, *sender;
  const char *rcpt;            /* NULL: MAIL is judged; else RCPT */
  const char *domain;          /* of rcpt */
  int is_postmaster;           /* rcpt is the bare <postmaster> */
  int is_early;                /* it spoke before the banner */
  /* called for each thing that is looked at; NULL: nobody wants to know. line: "" when there is
   * none, value what stands there */
  void (*saw)(void *arg, const char *what, const char *looked, const char *line, const char *value);
  void *arg;
};

/* a bound on messages in a line that fits */
struct judge_rate {
  enum access_key kind;
  char line[400];
  const char *who;    /* who is counted: the login, sender or recipient; "": the client's network */
  uint64_t rate, per; /* so many in so many ms */
};

enum judge_way {
  JUDGE_REFUSE, /* with reply and argument */
  JUDGE_TAKE,
  JUDGE_DROP,   /* this recipient: take it, and give it to nobody */
  JUDGE_ASK     /* a local recipient: take it if there is such a user */
};

/* texts live until the next judgement */
struct judgement {
  enum judge_way way;
  enum reply reply;
  const char *argument; /* for the %s of the reply */
  const char *decided;  /* "access client:192.0.2.0/24": which line, list or setting decided */
  int may_relay;        /* this client, to anywhere */
  enum access_fate fate;
  const char *fated;    /* which line says so; "" */
  uint64_t delay;       /* ms that the reply waits */
  size_t nrates;
  struct judge_rate rate[ACCESS_KEYS];
};

/* judges MAIL (f->rcpt NULL) or RCPT. The judgement is static. */
const struct judgement *judge_decide(const struct judge_facts *f);
/* the rule on greetings and the banner for a client, by its address alone */
void judge_client(const struct table *t, const struct ip *ip, struct access_rule *r);
/* whether nothing is asked or counted about this client: table access lets it relay by its
 * address, or it is one of the setting unlimited-clients */
int judge_is_unlimited(const struct table *t, const struct ip *ip);
/* the refusal when one of j's rates is exceeded */
const struct judgement *judge_over_rate(const struct judge_rate *r);

#endif
