/* exchange.c - logins under way: what clients were asked, and what they answered
 *
 * Runs in heloise-auth. What clients say is hostile bytes, and so is the order in which
 * heloise-smtpd passes it on. Nothing they say is written down but a login name. */
#include "smtpd/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/secret.h"
#include "common/settings.h"
#include "smtpd/authlimit.h"
#include "smtpd/backend.h"
#include "smtpd/backend_users.h"
#include "smtpd/dovecot.h"
#include "smtpd/scram.h"

#define DELAY_MS 1000
#define DELAY_MAX 10 /* times DELAY_MS */
#define BUCKETS 1024
#define FORGOTTEN_MS 3600000 /* an answer that smtpd lost is not waited for longer */

/* 0 WANTS_PLAIN     the one message of PLAIN
 * 1 WANTS_LOGIN     of LOGIN: the name
 * 2 WANTS_PASSWORD  and the password
 * 3 WANTS_SCRAM     a message of SCRAM
 * 4 WANTS_NOTHING   the empty answer to the server's proof (RFC 4954 4)
 * 5 WANTS_RELAYED   what Dovecot asked for
 * 6 PROVING         back ends are asked
 * 7 DELAYED         the outcome is known, and waits for its time */
enum wants { WANTS_PLAIN, WANTS_LOGIN, WANTS_PASSWORD, WANTS_SCRAM, WANTS_NOTHING, WANTS_RELAYED, PROVING, DELAYED };

struct exchange {
  struct loop_timer timer; /* first: of DELAYED; else, for how long it is kept */
  struct exchange *next;   /* in its bucket */
  struct chan *chan;
  uint64_t number;
  struct proof_client who;
  enum wants wants;
  stralloc login;             /* as sasl_login() makes it */
  struct scram scram;
  stralloc exporter, unique;  /* in base64, for scram */
  const char *blocked;        /* why its login is not looked at */
  struct proof *proof;        /* of PROVING */
  struct dovecot_request relay; /* of WANTS_RELAYED, and PROVING */
  uint64_t asked;             /* loop_now() of the client's last word */
  enum outcome outcome;       /* of DELAYED */
};

static struct exchange *buckets[BUCKETS];
static unsigned int count;

/* ---- where they are */

static struct exchange **bucket_of(uint64_t number)
{
  return &buckets[number % BUCKETS];
}

static struct exchange *find(const struct chan *c, uint64_t number)
{
  struct exchange *e = *bucket_of(number);

  while (e && (e->chan != c || e->number != number))
    e = e->next;
  return e;
}

static void drop(struct exchange *e)
{
  struct exchange **at = bucket_of(e->number);

  while (*at != e)
    at = &(*at)->next;
  *at = e->next;
  count--;
  loop_timer_stop(&e->timer);
  if (e->proof)
    proof_forsake(e->proof);
  dovecot_cancel(&e->relay);
  scram_end(&e->scram);
  secret_free(&e->exporter);
  secret_free(&e->unique);
  stralloc_free(&e->login);
  explicit_bzero(e, sizeof *e);
  free(e);
}

/* ---- what is said to smtpd. Unsent: the channel is full or gone, and smtpd's own clock ends
 * its wait. */

static void tell_outcome(struct chan *c, uint64_t number, enum outcome o, const char *login)
{
  struct wire_out w;

  wire_start(&w, WIRE_OUTCOME);
  wire_num(&w, number);
  wire_str(&w, outcome_word(o));
  wire_str(&w, login);
  chan_send(c, &w, -1);
}

static void on_forgotten(struct loop_timer *t)
{
  drop((struct exchange *)t);
}

static void challenge(struct exchange *e, enum wants wants, const char *bytes, size_t len)
{
  struct wire_out w;

  e->wants = wants;
  e->timer.fire = on_forgotten;
  loop_timer_in(&e->timer, FORGOTTEN_MS);
  wire_start(&w, WIRE_CHALLENGE);
  wire_num(&w, e->number);
  wire_bytes(&w, bytes, len);
  chan_send(e->chan, &w, -1);
}

/* ---- outcomes */

static void end(struct exchange *e, enum outcome o)
{
  tell_outcome(e->chan, e->number, o, o == OUTCOME_OK ? e->login.s : "");
  drop(e);
}

static void on_time(struct loop_timer *t)
{
  struct exchange *e = (struct exchange *)t;

  end(e, e->outcome);
}

/* the outcome is known, counted and logged */
static void settle(struct exchange *e, enum outcome o)
{
  unsigned int failures;
  uint64_t due, now = loop_now();

  e->proof = NULL;
  if (o != OUTCOME_WRONG && o != OUTCOME_LIMITED) {
    end(e, o);
    return;
  }
  failures = authlimit_failures(&e->who.ip, now);
  due = e->asked + DELAY_MS * (failures < 1 ? 1 : failures > DELAY_MAX ? DELAY_MAX : failures);
  e->wants = DELAYED;
  e->outcome = o;
  e->timer.fire = on_time;
  if (loop_timer_in(&e->timer, due > now ? due - now : 0) != 0)
    end(e, o);
}

static void conclude(struct exchange *e, enum outcome o, const char *reason)
{
  proof_note(&e->who, e->login.len ? e->login.s : "", o, reason);
  settle(e, o);
}

static void malformed(struct exchange *e)
{
  conclude(e, OUTCOME_MALFORMED, "not what the mechanism says");
}

/* ---- mechanisms that send a password */

static void on_proof(void *owner, enum outcome o)
{
  settle(owner, o);
}

static void prove(struct exchange *e, const char *password, size_t len)
{
  if (len == 0 || memchr(password, 0, len)) {
    malformed(e);
    return;
  }
  e->wants = PROVING;
  loop_timer_stop(&e->timer); /* the proof always ends */
  if (proof_start(&e->who, e->login.s, password, len, e, on_proof, &e->proof) != 0)
    conclude(e, OUTCOME_TEMP, "too many at once");
}

/* whether a name to act as is the login itself; an empty one is */
static int is_same(const struct exchange *e, const char *name, size_t len)
{
  stralloc other = {0};
  int r = len == 0 || (sasl_login(name, len, &other) == 0 && other.len == e->login.len &&
                       memcmp(other.s, e->login.s, other.len) == 0);

  stralloc_free(&other);
  return r;
}

static void take_plain(struct exchange *e, const char *bytes, size_t len)
{
  struct sasl_plain p;

  if (sasl_plain_read(bytes, len, &p) != 0 || sasl_login(p.login, p.loginlen, &e->login) != 0)
    malformed(e);
  else if (!is_same(e, p.authzid, p.authzidlen))
    conclude(e, OUTCOME_WRONG, "wants to act for another");
  else
    prove(e, p.password, p.passwordlen);
}

static void take_login(struct exchange *e, const char *bytes, size_t len)
{
  if (sasl_login(bytes, len, &e->login) != 0)
    malformed(e);
  else
    challenge(e, WANTS_PASSWORD, "Password:", 9);
}

/* ---- SCRAM */

/* a table that the setting does not name lets nobody in */
static int is_in_table(const char *login)
{
  return backend_is_used(BACKEND_USERS) && backend_users_has(login);
}

static int find_keys(void *arg, const char *login, struct password_scram *keys)
{
  struct exchange *e = arg;

  if (sasl_login(login, strlen(login), &e->login) != 0)
    return -1;
  e->blocked = authlimit_blocks(&e->who.ip, e->login.s, settings.auth_failure_limit, loop_now());
  if (e->blocked || (!is_in_table(e->login.s) && backend_is_used(BACKEND_DOVECOT)))
    return -1; /* not ours to do: Dovecot's, perhaps */
  return backend_users_keys(e->login.s, keys);
}

/* ---- SCRAM of a login that only Dovecot may know: what it and the client say goes through */

static void on_relayed_challenge(struct dovecot_request *r, const char *bytes, size_t len)
{
  challenge(r->owner, WANTS_RELAYED, bytes, len);
}

static void on_relayed_end(struct dovecot_request *r, enum proof_result result, const char *login)
{
  struct exchange *e = r->owner;

  if (result == PROOF_YES && stralloc_copys(&e->login, login) && stralloc_0(&e->login))
    conclude(e, OUTCOME_OK, "");
  else if (result == PROOF_YES || result == PROOF_UNSURE)
    conclude(e, OUTCOME_TEMP, "a back end does not answer");
  else
    conclude(e, OUTCOME_WRONG, "unknown login or wrong password");
}

static void begin_relay(struct exchange *e, const char *bytes, size_t len)
{
  static const struct dovecot_ops ops = {on_relayed_challenge, on_relayed_end};

  e->relay.ops = &ops;
  e->relay.owner = e;
  e->wants = PROVING;
  if (dovecot_start(&e->relay, e->who.mechanism, &e->who, bytes, len) != 0)
    conclude(e, OUTCOME_TEMP, "a back end does not answer");
}

static void go_on_relaying(struct exchange *e, const char *bytes, size_t len)
{
  e->wants = PROVING;
  if (dovecot_continue(&e->relay, bytes, len) != 0)
    conclude(e, OUTCOME_TEMP, "a back end does not answer");
}

static void proved(struct exchange *e, const stralloc *proof)
{
  const char *other = scram_acts_as(&e->scram);

  if (other && !is_same(e, other, strlen(other)))
    conclude(e, OUTCOME_WRONG, "wants to act for another");
  else
    challenge(e, WANTS_NOTHING, proof->s, proof->len);
}

static void take_scram(struct exchange *e, const char *bytes, size_t len)
{
  static stralloc out; /* bound: the library's replies, a few hundred bytes */
  enum scram_result r;

  if (e->login.len > 0) /* others of its kind may have failed since it began */
    e->blocked = authlimit_blocks(&e->who.ip, e->login.s, settings.auth_failure_limit, loop_now());
  r = e->blocked ? SCRAM_DECLINED : scram_step(&e->scram, bytes, len, &out);
  if (r == SCRAM_MORE)
    challenge(e, WANTS_SCRAM, out.s, out.len);
  else if (r == SCRAM_DONE)
    proved(e, &out);
  else if (e->blocked)
    conclude(e, OUTCOME_LIMITED, e->blocked);
  else if (r == SCRAM_DECLINED && e->login.len > 0)
    begin_relay(e, bytes, len);
  else if (r == SCRAM_WRONG)
    conclude(e, OUTCOME_WRONG, e->login.len ? "unknown login or wrong password"
                                            : "not bound to this TLS session as it should be");
  else if (r == SCRAM_FAILED)
    conclude(e, OUTCOME_TEMP, "out of memory");
  else
    malformed(e);
}

static int begin_scram(struct exchange *e, const struct exchange_begin *b)
{
  int is_bound = mechanism_row(e->who.mechanism)->is_bound;
  /* a client that could bind, and was not offered it, is right to say so */
  int has_bindings = (backend_mechanisms() & MECHANISM_BIT(MECHANISM_SCRAM_SHA_256_PLUS)) != 0;

  if ((b->exporterlen && (base64_encode(&e->exporter, b->exporter, b->exporterlen) != 0 ||
                          !stralloc_0(&e->exporter))) ||
      (b->uniquelen &&
       (base64_encode(&e->unique, b->unique, b->uniquelen) != 0 || !stralloc_0(&e->unique))))
    return -1;
  e->scram.keys = find_keys;
  e->scram.arg = e;
  e->scram.exporter = has_bindings && b->exporterlen ? e->exporter.s : NULL;
  e->scram.unique = has_bindings && b->uniquelen ? e->unique.s : NULL;
  return scram_start(&e->scram, is_bound);
}

/* ---- from smtpd */

static void take(struct exchange *e, const char *bytes, size_t len)
{
  e->asked = loop_now();
  switch (e->wants) {
  case WANTS_PLAIN:
    take_plain(e, bytes, len);
    break;
  case WANTS_LOGIN:
    take_login(e, bytes, len);
    break;
  case WANTS_PASSWORD:
    prove(e, bytes, len);
    break;
  case WANTS_SCRAM:
    take_scram(e, bytes, len);
    break;
  case WANTS_NOTHING:
    conclude(e, len == 0 ? OUTCOME_OK : OUTCOME_MALFORMED, "not what the mechanism says");
    break;
  case WANTS_RELAYED:
    go_on_relaying(e, bytes, len);
    break;
  default: /* nothing was asked: PROVING, DELAYED */
    break;
  }
}

void exchange_begin(struct chan *c, uint64_t number, const struct exchange_begin *b)
{
  const struct mechanism_row *m = mechanism_row(b->who.mechanism);
  struct exchange *e = NULL;

  if (count < EXCHANGES_MAX && (backend_mechanisms() & MECHANISM_BIT(b->who.mechanism)) &&
      !find(c, number))
    e = calloc(1, sizeof *e);
  if (!e) {
    tell_outcome(c, number, OUTCOME_TEMP, "");
    return;
  }
  count++;
  e->chan = c;
  e->number = number;
  e->who = b->who;
  e->next = *bucket_of(number);
  *bucket_of(number) = e;
  e->wants = m->is_scram ? WANTS_SCRAM : b->who.mechanism == MECHANISM_LOGIN ? WANTS_LOGIN : WANTS_PLAIN;
  if (m->is_scram && begin_scram(e, b) != 0)
    conclude(e, OUTCOME_TEMP, "SCRAM cannot begin");
  else if (b->has_initial)
    take(e, b->initial, b->initiallen);
  else
    challenge(e, e->wants, e->wants == WANTS_LOGIN ? "Username:" : "", e->wants == WANTS_LOGIN ? 9 : 0);
}

void exchange_step(struct chan *c, uint64_t number, const char *bytes, size_t len)
{
  struct exchange *e = find(c, number);

  if (e)
    take(e, bytes, len);
}

void exchange_forgo(struct chan *c, uint64_t number)
{
  struct exchange *e = find(c, number);

  if (e)
    drop(e);
}

void exchange_lose(struct chan *c)
{
  for (size_t i = 0; i < BUCKETS; i++)
    for (struct exchange *e = buckets[i], *next; e; e = next) {
      next = e->next;
      if (e->chan == c)
        drop(e);
    }
}
