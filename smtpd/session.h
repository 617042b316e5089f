/* session.h - one SMTP session: what it was told, what it answers
 *
 * Runs without a socket: bytes go in with session_feed(), replies come out in `out`, and
 * what other programs must do is asked through struct session_world. Each question is
 * answered later by one call of session_known(), session_opened() and so on; until then
 * the session takes no more bytes. */
#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/access.h"
#include "common/content.h"
#include "common/hello.h"
#include "common/ip.h"
#include "common/sasl.h"
#include "common/service.h"
#include "common/table.h"
#include "common/units.h"
#include "common/verdict.h"
#include "smtpd/complete.h"
#include "smtpd/enddata.h"

enum reply {
#define REPLY(name, code, status, text) REPLY_##name,
#include "smtpd/replies.def"
#undef REPLY
  REPLY_NONE /* nothing to say now: written already, or it follows */
};

/* what was said so far, as bits for the verb table */
enum session_order { HAVE_NOTHING = 1, HAVE_HELLO = 2, HAVE_FROM = 4, HAVE_RCPT = 8, HAVE_CHUNK = 16 };

/* 0 COMMAND      takes command lines
 * 1 SKIP         a command line is too long: takes the rest of it
 * 2 RESPONSE     takes the line that answers a challenge of AUTH
 * 3 DATA         takes the message, or a chunk of it (struct chunk)
 * 4 ASKED        waits for session_known()
 * 5 PROVING      waits for session_challenged() or session_proved()
 * 6 OPENING      waits for session_opened()
 * 7 FULL         waits for session_room(): the intake is slow
 * 8 COMMITTING   waits for session_done()
 * 9 AWAITING     waits for session_found(): a command needs what DNS says of the client
 * 10 PAUSED      waits for session_go_on(): what is in `out` is held back for `pause`
 * 11 SECURING    waits for session_secured(): when `out` is written, TLS begins
 * 12 ENDED       takes nothing; what is in `out` is the last */
enum session_doing {
  COMMAND, SKIP, RESPONSE, DATA, ASKED, PROVING, OPENING, FULL, COMMITTING, AWAITING, PAUSED, SECURING, ENDED
};

/* what is counted for each client network (limits.h) */
enum limit { LIMIT_CONNECTIONS, LIMIT_MESSAGES, LIMIT_RECIPIENTS, LIMIT_ERRORS, LIMIT_COUNT };

/* the transaction; texts are NUL-terminated, their bounds are those of address.h and RFC 3461 */
struct mail {
  stralloc from;       /* in normal form; "" is the null sender */
  stralloc envid;      /* xtext, at most 100 bytes, "" if not given */
  stralloc rcpts;      /* address NUL notify NUL orcpt NUL, nrcpt times; bound: recipient-limit, and half a megabyte of a stranger */
  size_t nrcpt;
  const char *ret;     /* "", "FULL", "HDRS" */
  int is_8bit, is_relay;
  int is_utf8;         /* MAIL had SMTPUTF8 */
  enum access_fate fate; /* what table access makes of it */
  stralloc fated;        /* the line that says so */
  size_t ndropped;       /* recipients taken that nobody is: `discard` */
};

/* BDAT (RFC 3030) */
struct chunk {
  int is_open;        /* a message comes in chunks: it stays open between them */
  int is_reading;     /* the octets that a command announced are being taken */
  int is_last;
  uint64_t size, left; /* of that command's octets */
  enum reply refusal; /* the command is refused: the answer when its octets were read and dropped */
};

struct session;
struct judge_dns;
struct judge_rate;

/* the programs around a session. Each returns 0, or -1: it cannot be done now. */
struct session_world {
  const struct table *(*table)(void);
  int (*ask)(struct session *s, const char *address); /* session_known() follows */
  int (*open)(struct session *s);                     /* session_opened(), _refused() or _lost() */
  int (*data)(struct session *s, const char *bytes, size_t len); /* EAGAIN: session_room() */
  int (*commit)(struct session *s); /* session_done(), _refused() or _lost(); EAGAIN as data */
  void (*abort)(struct session *s);
  unsigned int (*mechanisms)(void); /* of AUTH, as bits: what clients may be offered */
  /* session_challenged() or session_proved(); initial may be NULL */
  int (*login)(struct session *s, enum mechanism m, const char *initial, size_t len);
  int (*respond)(struct session *s, const char *bytes, size_t len);
  void (*forgo)(struct session *s); /* the exchange is given up, if there is one */
  int (*can_tls)(void);                               /* whether there is a certificate */
  int (*start_tls)(struct session *s);                /* after what is in `out`; session_secured() */
  /* channel binding, tls_server.h: its length in out (64 bytes), or -1 */
  int (*binding)(struct session *s, const char *type, unsigned char *out);
  /* these may be NULL: nothing is asked of DNS, nothing counted */
  int (*await)(struct session *s, int for_mail); /* 1: it is not there yet; session_found() follows */
  int (*over)(struct session *s, enum limit l);  /* one more; whether that is too many */
  int (*over_rate)(struct session *s, const struct judge_rate *r);
  void (*renamed)(struct session *s); /* another client, by XCLIENT: all that is known begins anew */
};

/* the TLS session under this one; texts are OpenSSL's words, printable */
struct session_tls {
  int is_on;
  char version[16], cipher[48];
};

struct session {
  const struct session_world *world;
  const struct service *service;
  struct ip ip;
  char client[IP_PORT_TEXT]; /* "192.0.2.1:4711" */
  char address[IP_TEXT];     /* the same without the port */
  enum session_doing doing;
  enum session_order order;
  int is_esmtp;
  struct session_tls tls;
  int may_xclient;        /* it came from a host that may speak in another's name */
  stralloc login;         /* who AUTH proved the client to be, NUL-terminated; empty: nobody. 255 bytes */
  int has_auth;           /* said AUTH: what it says may be a password, and is not logged unless it is known to be none */
  int is_skipping_response; /* of SKIP: it was one */
  uint32_t verbs_off;     /* verbs not offered to this client */
  struct hello hello;
  stralloc said;          /* what the client called itself, when hello.name differs; 255 bytes */
  struct mail mail;
  stralloc asked;         /* the recipient in question: as in mail.rcpts */
  stralloc out;           /* replies; bound: SESSION_OUT_MAX and one reply */
  const char *argument;   /* for the %s of the reply a verb returns */
  const char *reason;     /* why it ended, for the log */
  const char *decided;    /* which line of a table made the reply, for the log; NULL: none */
  const struct judge_dns *dns; /* what DNS says of the client; NULL: nothing was asked. The world's */
  uint64_t pause;         /* ms: of PAUSED, or how long the reply to come waits */
  int is_early;           /* it spoke before the banner */
  int is_unlimited;       /* nothing is counted for it */
  int is_over;            /* its network has had too many errors */
  char number[UNITS_DIGITS]; /* room for an argument that is a number or a keyword */
  unsigned int commands, errors, greeting_errors, messages;

  /* the message */
  char id[64];
  stralloc received;      /* the Received field, until it is sent */
  struct enddata end;
  struct chunk chunk;
  struct complete complete;
  struct content content;
  enum reply refusal;     /* what the client will hear after the end; REPLY_NONE: nothing wrong yet */
  stralloc refusal_text;  /* the intake's own words, instead; 512 bytes */
};

#define SESSION_OUT_MAX 16384
#define SESSION_FRAME 32000 /* bytes of the message in one WIRE_DATA */

/* a new session of a client; puts the banner in out */
void session_start(struct session *s, const struct session_world *w, const struct service *service,
                   const struct ip *ip, uint16_t port);
/* frees what it holds and gives up an open message */
void session_close(struct session *s);

/* takes bytes; returns how many. Fewer than len: it waits (doing), out is full, the line
 * is not complete (keep the bytes and call again with more), or it has ended. */
size_t session_feed(struct session *s, const char *bytes, size_t len);
/* whether bytes can be fed now */
int session_is_ready(const struct session *s);

/* answers to what was asked of the world */
void session_known(struct session *s, enum verdict v, const char *reason);
void session_opened(struct session *s, const char *id);
void session_refused(struct session *s, const char *reply);
void session_lost(struct session *s);
void session_room(struct session *s);
void session_done(struct session *s, const char *id);
/* the TLS handshake is done: all is forgotten (RFC 3207 4.2). tls: "TLSv1.3 TLS_AES_256_GCM_SHA384" */
void session_secured(struct session *s, const char *tls);

/* what DNS says is there, or will not come */
void session_found(struct session *s);
/* these bytes were there before the banner was sent */
void session_spoke_early(struct session *s, size_t bytes);
/* the pause is over */
void session_go_on(struct session *s);
void session_challenged(struct session *s, const char *bytes, size_t len);
void session_proved(struct session *s, enum outcome o, const char *login);

/* the client was silent for too long; or we stop: say so and end */
void session_end(struct session *s, enum reply r, const char *reason);
/* its network has had enough: says so (argument is the %s) and ends; before the first command
 * instead of the banner. decided says by which setting, for the log. */
void session_turn_away(struct session *s, enum reply r, const char *argument, const char *decided);

/* a last reply (421) for a client that gets no session, in out (replaced). 0, or -1. */
int session_farewell(stralloc *out, enum reply r);

/* for the verbs: */
/* appends a reply, counts and logs a refusal (command says of what). REPLY_NONE: nothing. */
void session_reply(struct session *s, enum reply r, const char *command, size_t len);
/* the message was read to its end and is not taken: says why, so many times, and drops the
 * transaction */
void session_refuse_message(struct session *s, size_t times);
/* how often what became of a message is said: once, or in LMTP for each recipient (RFC 2033 4.2) */
size_t session_answers(const struct session *s);
/* the word after "with" in Received: ESMTPS and so on (RFC 3848, RFC 6531) */
const char *session_protocol(const struct session *s);
/* whether the message is to be taken and thrown away */
int session_is_discarded(const struct session *s);
/* drops the transaction */
void session_reset(struct session *s);
/* another client speaks from here on, who has proved to be login (NULL: nobody): all is forgotten,
 * and the banner is said to it */
void session_rename(struct session *s, const struct ip *ip, uint16_t port, const char *login);
/* puts the number v in s->number and makes it the argument */
void session_argument(struct session *s, uint64_t v);

#endif
