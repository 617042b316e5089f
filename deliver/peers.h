/* peers.h - peer memory: what attempts learned about peers, one card per address and port
 *
 * The file state/peers holds cards of fixed size, hash-indexed, and the words that taught each
 * fact (peers_file.h). heloise-deliver is its only writer while it runs; attempts and commands read
 * it. It is advice about how to talk, never about whether mail is accepted: a lost or malformed
 * file is an empty one. LADDER.md 8. */
#ifndef DELIVER_PEERS_H
#define DELIVER_PEERS_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/ip.h"

/* FACT(name, word, lasts at first, at most (seconds; doubles each time it is proved again), help) */
#define PEERS_FACTS(X) \
  X(HELO_ONLY, "helo-only", 86400, 604800, "EHLO fails, HELO works") \
  X(NEEDS_RSET, "needs-rset", 604800, 604800, "HELO works after RSET") \
  X(LITERAL_NAME, "literal-name", 86400, 604800, "our name is refused, our address is taken") \
  X(EHLO_REQUIRED, "ehlo-required", 2592000, 2592000, "HELO is taken, mail after it is not") \
  X(NO_8BITMIME, "no-8bitmime", 604800, 604800, "8BITMIME is offered and does not work") \
  X(NO_PIPELINING, "no-pipelining", 604800, 2592000, "PIPELINING is offered and does not work") \
  X(NO_SIZE, "no-size", 604800, 604800, "SIZE is offered and does not work") \
  X(NO_DSN, "no-dsn", 604800, 604800, "DSN is offered and does not work") \
  X(TLS_SEEN, "tls-seen", 2592000, 2592000, "did TLS") \
  X(TLS_MISSING, "tls-missing", 604800, 604800, "did TLS before, and does not offer it now") \
  X(TLS_BROKEN, "tls-broken", 21600, 604800, "STARTTLS is offered and does not work") \
  X(NO_STARTTLS, "no-starttls", 86400, 604800, "STARTTLS is offered and refused") \
  X(STARTTLS_4YZ, "starttls-4yz", 900, 900, "answered STARTTLS with 4yz") \
  X(INJECTED, "injected", 86400, 86400, "bytes in clear came after STARTTLS") \
  X(AUTH_FAIL, "auth-fail", 5400, 5400, "refuses our user name or password") \
  X(DOUBLE_BANNER, "double-banner", 604800, 604800, "sends two banners") \
  X(PIX, "pix", 604800, 604800, "a starred banner: something rewrites SMTP") \
  X(EHLO_DROP, "ehlo-drop", 604800, 604800, "closed the connection at EHLO") \
  X(EHLO_HANG, "ehlo-hang", 604800, 604800, "did not answer EHLO in time") \
  X(EHLO_4YZ, "ehlo-4yz", 86400, 86400, "answered EHLO with 4yz") \
  X(CONNECT_HANG, "connect-hang", 3600, 3600, "did not answer the connection in time") \
  X(DOWN, "down", 300, 3600, "not reachable: tried after others") \
  X(NOT_SMTP, "not-smtp", 3600, 3600, "some other service: tried after others") \
  X(HOST5, "host5", 1800, 1800, "refuses us in its greeting") \
  X(NO_MAIL, "no-mail", 86400, 86400, "takes no mail (521)") \
  X(DOT_LOST, "dot-lost", 86400, 86400, "the reply to a message's end was lost") \
  X(RCPT_MAX, "rcptmax", 86400, 86400, "took only so many recipients at once") \
  X(NO_SMTPUTF8, "no-smtputf8", 86400, 86400, "SMTPUTF8 is offered and does not work") \
  X(NO_REUSE, "no-reuse", 86400, 86400, "does not take RSET: a new connection instead") \
  X(NAME_REFUSED, "name-refused", 86400, 86400, "refused our name") \
  X(SLOW_BANNER, "slow-banner", 86400, 86400, "late with its banner: tried after its equals") \
  X(SLOW, "slow", 86400, 86400, "stalled while it was sent a message") \
  X(UNREACHABLE, "unreachable", 600, 600, "no route to it: tried after others") \
  X(DOT_HANG, "dot-hang", 86400, 86400, "did not answer the end of a message in time") \
  X(SOFT_HIT, "soft-hit", 86400, 86400, "could not serve us just then; how often in a row") \
  X(PROTOCOL_HIT, "protocol-hit", 86400, 86400, "said what is no SMTP; how often") \
  X(HELO_FAILED, "helo-failed", 86400, 86400, "put off HELO, said first, or did not answer it")

enum peers_fact {
  FACT_NONE,
#define X(name, word, first, most, help) FACT_##name,
  PEERS_FACTS(X)
#undef X
  FACT_COUNT
};

#define PEERS_FACTS_EACH 6 /* facts on one card; the one that ends first makes room */
#define PEERS_EVIDENCE 6
#define PEERS_TEXT 72      /* room for the words that taught a fact, NUL-terminated */

struct peers_note {
  uint8_t fact;           /* enum peers_fact; 0: empty */
  uint8_t level;          /* how often its time was doubled */
  uint8_t is_tried;       /* its time was over, and one message tries without it now */
  uint16_t count;         /* how often it was seen */
  uint32_t last, until;   /* epoch */
  char row[PEERS_EVIDENCE];    /* of LADDER.md 3, "E9" */
  uint16_t code;               /* of the reply, 0 without one */
};

struct peers_card {
  struct ip ip;
  uint16_t port;          /* 0: the card is empty */
  uint16_t rcpt_max;      /* of rcptmax */
  uint32_t used;          /* epoch of its last change */
  struct peers_note note[PEERS_FACTS_EACH];
};

struct peers;

const char *peers_fact_word(enum peers_fact f);
int peers_fact_read(const char *s, size_t len, enum peers_fact *f);

/* opens the file in the directory dirfd for writing, making it anew when it is missing or
 * malformed. NULL with errno. */
struct peers *peers_open(int dirfd);
/* opens the file for reading; NULL with errno (ENOENT: nothing is remembered) */
struct peers *peers_read(int dirfd);
/* for changing it while nothing else does: the file as it is; NULL with errno */
struct peers *peers_edit(int dirfd);
void peers_close(struct peers *p);
/* what a forked reader must keep open: it is read-only. -1 when p is NULL */
int peers_descriptor(const struct peers *p);

/* copies the card of a peer: 1, or 0 (and an empty card). A NULL p remembers nothing. */
int peers_card(const struct peers *p, const struct ip *ip, uint16_t port, struct peers_card *card);
/* the note of a fact, in force or past its time (on probation); NULL when there is none */
const struct peers_note *peers_note(const struct peers_card *card, enum peers_fact f);
/* whether a fact is in force; until a time that none is learned for it is not: a clock was wrong */
#define PEERS_LONGEST (31 * 86400)
int peers_holds(const struct peers_card *card, enum peers_fact f, uint64_t now);

/* what taught a fact, and when it was first seen; text "" and since 0 when that is not known */
struct peers_evidence {
  uint32_t since;
  char text[PEERS_TEXT];
};
void peers_evidence(const struct peers *p, const struct peers_card *card, enum peers_fact f,
                    struct peers_evidence *e);

struct peers_news {
  struct ip ip;
  uint16_t port;
  enum peers_fact fact;
  uint16_t value;           /* of rcptmax */
  char row[PEERS_EVIDENCE];
  uint16_t code;
  char text[PEERS_TEXT];    /* the reply or event, printable ASCII */
};
/* a fact as LEARNED and UNLEARNED name it: "helo-only", "rcptmax=20". 0, or -1 */
int peers_news_fact(const char *s, size_t len, struct peers_news *n);
/* reads their evidence: "ROW", "ROW CODE" or "ROW CODE TEXT", code 0 when an event taught it.
 * 0, or -1 */
int peers_news_read(const char *evidence, size_t len, struct peers_news *n);
/* writes the two. */
#define PEERS_NEWS_FACT 32
#define PEERS_NEWS_EVIDENCE (PEERS_EVIDENCE + PEERS_TEXT + 8)
void peers_news_format(const struct peers_news *n, char fact[PEERS_NEWS_FACT],
                       char evidence[PEERS_NEWS_EVIDENCE]);
/* remembers; returns until when, or 0 with errno: the card could not be written */
uint64_t peers_learn(struct peers *p, const struct peers_news *n, uint64_t now);
/* 1 when it was remembered, else 0; -1 with errno: and still is, the card could not be written */
int peers_unlearn(struct peers *p, const struct peers_news *n);
/* a fact's time is over and a message tries without it: until that is known, or some minutes
 * have passed, it holds for others. 1 when the fact was there and over, else 0. */
int peers_probation(struct peers *p, const struct peers_news *n, uint64_t now);
/* erases the cards of ADDR (all ports), ADDR:PORT or "all"; how many, or -1: key is none of these */
int peers_forget(struct peers *p, const char *key, size_t len);
/* calls f for each card that holds something, until it returns non-zero; returns that or 0 */
int peers_each(const struct peers *p, int (*f)(void *arg, const struct peers_card *c), void *arg);

#endif
