/* starttls.c - whether a session is to be encrypted, and how it gets there
 *
 * Runs in attempts: user hldeliver, network only. The peer is hostile, and so may be the network
 * between: it can strip STARTTLS, break the handshake, or speak in the peer's name until then. */
#include "deliver/starttls.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/verbs.h"

#define PROOF_APART 600  /* seconds between two failures that are believed (LADDER.md 8 rule 5) */
#define SOON 5000        /* ms in which a reply that has begun should end */
#define SEEN_AGAIN 86400 /* seconds after which a handshake is news again */

/* facts that say TLS did not work, or what leads to it */
static const enum peers_fact failures[] = {FACT_TLS_MISSING, FACT_TLS_BROKEN, FACT_NO_STARTTLS,
                                           FACT_STARTTLS_4YZ, FACT_EHLO_DROP, FACT_EHLO_HANG,
                                           FACT_EHLO_4YZ};
#define OF_TLS 4 /* of them are about TLS itself */
#define FAILURES (sizeof failures / sizeof *failures)

static int holds(const struct session *s, enum peers_fact f)
{
  return peers_holds(&s->card, f, s->attempt->now);
}

/* how long ago it first failed, in one of the first `kinds` ways, of what is still in force; 0 when
 * nothing did */
static uint64_t failed_for(const struct session *s, size_t kinds)
{
  uint64_t longest = 0, now = s->attempt->now;

  for (size_t i = 0; i < kinds; i++) {
    const struct peers_note *n = peers_note(&s->card, failures[i]);
    struct peers_evidence first;
    uint64_t since;
    if (!n || n->until <= now)
      continue;
    peers_evidence(s->attempt->given->peers, &s->card, failures[i], &first);
    since = first.since ? first.since : n->last;
    if (since < now && now - since > longest)
      longest = now - since;
  }
  return longest;
}

/* the peer did TLS lately, and nothing says yet that it does not any more: one failure is not
 * believed, a second one, ten minutes after the first, is */
static int is_doubted(const struct session *s)
{
  return holds(s, FACT_TLS_SEEN) && failed_for(s, FAILURES) < PROOF_APART;
}

/* the same once it was greeted: where EHLO works, that it once did not proves nothing about TLS */
static int is_doubted_now(const struct session *s)
{
  return holds(s, FACT_TLS_SEEN) &&
         failed_for(s, s->facts & IF_HELO ? FAILURES : OF_TLS) < PROOF_APART;
}

/* the message has met the failure before: it was tried after that was first seen, and deferred for
 * it, or for another failure */
static int was_deferred(const struct session *s)
{
  uint64_t ago = failed_for(s, FAILURES), tried = s->attempt->tried_at;

  return ago > 0 && tried > 0 && s->attempt->now - ago <= tried;
}

/* what is doubted defers a message once; then it goes on, for a message must not be stuck (T2) */
static int is_guarded(const struct session *s)
{
  return is_doubted(s) && !was_deferred(s) && strcmp(settings.tls_history, "warn") != 0;
}

/* facts that switch STARTTLS off; past their time one message tries it again */
static const enum peers_fact switches[] = {FACT_TLS_BROKEN, FACT_NO_STARTTLS, FACT_STARTTLS_4YZ};

static int is_off_by_card(const struct session *s)
{
  int yes = 0;

  for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
    yes |= holds(s, switches[i]);
  return yes;
}

static void try_again(struct session *s)
{
  for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
    client_card_says(s, switches[i]);
}

static int is_wanted(const struct session *s)
{
  if (s->words.tls != PEER_TLS_UNSAID)
    return s->words.tls != PEER_TLS_NONE;
  return settings.tls && !s->words.says_helo && !(s->words.off & VERB_STARTTLS);
}

void starttls_prepare(struct session *s)
{
  s->is_tls_off_by_card = 0;
  if (!is_wanted(s)) {
    s->off |= VERB_STARTTLS;
    return;
  }
  s->off &= ~(uint32_t)VERB_STARTTLS;
  if (s->words.tls == PEER_TLS_ENCRYPT || s->words.tls == PEER_TLS_VERIFY ||
      holds(s, FACT_INJECTED))
    s->facts |= IF_TLS_NEEDED;
  if (s->words.tls == PEER_TLS_VERIFY)
    s->facts |= IF_CERT_NEEDED;
  if (is_guarded(s))
    s->facts |= IF_TLS_HISTORY;
  if (s->facts & (IF_TLS_NEEDED | IF_TLS_HISTORY))
    s->facts |= IF_NEEDED | IF_NO_CLEAR;
  else if (s->target->is_in_clear)
    s->off |= VERB_STARTTLS;
  else if (s->words.tls == PEER_TLS_UNSAID && is_off_by_card(s) && !is_doubted(s)) {
    s->off |= VERB_STARTTLS;
    s->is_tls_off_by_card = 1;
  }
}

static void unlearn_all(struct session *s, const char *row)
{
  static const enum peers_fact facts[] = {FACT_TLS_MISSING, FACT_TLS_BROKEN, FACT_NO_STARTTLS,
                                          FACT_STARTTLS_4YZ};

  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
    client_unlearn(s, facts[i], row);
}

void starttls_retry(struct session *s)
{
  s->off &= ~(uint32_t)VERB_STARTTLS;
  s->is_tls_off_by_card = 0;
  s->facts &= ~(uint64_t)IF_TLS_CARD;
}

void starttls_offer(struct session *s)
{
  s->facts &= ~(uint64_t)(IF_TLS_OFFERED | IF_TLS_CARD);
  if (!(s->ehlo.verbs & VERB_STARTTLS) || s->conn.tls || !tls_client_is_ready())
    return;
  if (s->is_tls_off_by_card)
    s->facts |= IF_TLS_CARD;
  if (s->verbs & VERB_STARTTLS) {
    s->facts |= IF_TLS_OFFERED;
    try_again(s);
  }
}

/* ---- on the wire */

enum saw starttls_say(struct session *s)
{
  enum saw saw;

  s->facts &= ~(uint64_t)IF_UNASKED;
  if (conn_has_input(&s->conn)) {
    if (conn_reply(&s->conn, &s->reply, conn_clock() + SOON) == SAW_REPLY && s->reply.code == 421) {
      s->facts |= IF_UNASKED; /* a peer that is closing may say so at any time */
      return SAW_REPLY;
    }
    reply_start(&s->reply); /* an answer that is there before the question */
    snprintf(s->conn.why, sizeof s->conn.why, "bytes in clear before STARTTLS");
    return SAW_EARLY;
  }
  reply_start(&s->reply);
  client_say(s, "STARTTLS", (const char *)NULL);
  saw = conn_reply(&s->conn, &s->reply, conn_clock() + settings.timeout_starttls);
  s->facts &= ~(uint64_t)IF_OVER;
  if (saw == SAW_REPLY && conn_is_over(&s->conn))
    s->facts |= IF_OVER;
  if (saw == SAW_REPLY && s->reply.code != 220)
    s->facts |= IF_TLS_REFUSED;
  return saw;
}

static void take_certificate(struct session *s)
{
  char why[TLS_TEXT];

  s->facts &= ~(uint64_t)IF_CERT_BAD;
  if (tls_is_verified(s->conn.tls, why))
    snprintf(s->certificate, sizeof s->certificate, "certificate verified");
  else {
    s->facts |= IF_CERT_BAD;
    snprintf(s->certificate, sizeof s->certificate, "certificate not verified: %.90s", why);
  }
}

/* the host's name without its brackets, for SNI and the certificate */
static const char *host_of(const struct session *s)
{
  return s->target->host[0] == '[' ? s->address : s->target->host;
}

enum saw starttls_handshake(struct session *s)
{
  enum saw saw;

  reply_start(&s->reply);
  saw = conn_starttls(&s->conn, host_of(s), conn_clock() + settings.timeout_tls);
  if (saw == SAW_EARLY) {
    char address[IP_PORT_TEXT];
    ip_port_format(address, &s->target->ip, s->target->port);
    log_injected(s->attempt->given->id, s->target->host, address, s->conn.why);
  }
  if (saw != SAW_REPLY) {
    spoken_over(s->conn.spoken, saw);
    if (*s->conn.why)
      spoken_note(s->conn.spoken, s->conn.why);
    return saw;
  }
  s->facts |= IF_TLS;
  take_certificate(s);
  tls_describe(s->conn.tls, s->encryption);
  spoken_note(s->conn.spoken, s->encryption);
  spoken_note(s->conn.spoken, s->certificate);
  return saw;
}

/* ---- the end of it */

void starttls_learn(struct session *s, const struct ladder_row *row, uint16_t code)
{
  enum peers_fact f = row->learn;
  int is_downgrade = f == FACT_HELO_ONLY || f == FACT_NEEDS_RSET || f == FACT_NO_STARTTLS;

  client_learn(s, is_downgrade && is_wanted(s) && is_doubted_now(s) ? FACT_TLS_MISSING : f, row, code);
}

void starttls_settle(struct session *s)
{
  static const struct ladder_row seen = {.number = "T9"};
  const struct peers_note *note = peers_note(&s->card, FACT_TLS_SEEN);
  char address[IP_PORT_TEXT], text[TLS_TEXT];

  if (s->conn.tls) {
    tls_describe(s->conn.tls, text);
    snprintf(s->lesson, sizeof s->lesson, "%.*s", (int)sizeof s->lesson - 1, text);
    if (!note || note->last + SEEN_AGAIN < s->attempt->now)
      client_learn(s, FACT_TLS_SEEN, &seen, 0);
    unlearn_all(s, "T9");
    return;
  }
  if (!is_wanted(s) || !holds(s, FACT_TLS_SEEN) || (s->facts & IF_NO_CLEAR))
    return;
  ip_port_format(address, &s->target->ip, s->target->port);
  log_downgraded(s->attempt->given->id, s->target->host, address);
  if (!is_doubted_now(s))
    client_unlearn(s, FACT_TLS_SEEN, "T2");
}
