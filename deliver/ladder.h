/* ladder.h - the greeting ladder and what follows it, as a table
 *
 * Pure. LADDER.md 0, 3, 8. A session is at a rung, sees something, and finds the row that says
 * what to do. The rows bear the numbers of LADDER.md 3. */
#ifndef DELIVER_LADDER_H
#define DELIVER_LADDER_H

#include <stddef.h>
#include <stdint.h>

#include "deliver/conn.h"
#include "deliver/peers.h"

/* RUNG(name, word in steps, how an event there reads: "timed out " + this) */
#define LADDER_RUNGS(X) \
  X(CONNECT, "R0", "at connect") \
  X(BANNER, "R1", "at the banner") \
  X(EHLO, "R2", "at EHLO") \
  X(HELO, "R3", "at HELO") \
  X(RSET, "R4", "at HELO after RSET") \
  X(FRESH, "R5", "at HELO on a new connection") \
  X(FIRST, "R5", "at HELO, said first") \
  X(NAME, "N", "at the greeting with our address") \
  X(STARTTLS, "T", "at STARTTLS") \
  X(TLS, "T", "at the TLS handshake") \
  X(TLS_EHLO, "T", "at EHLO within TLS") \
  X(AUTH, "AUTH", "at AUTH") \
  X(READY, "R6", "the extensions offered") \
  X(MAIL, "MAIL", "at MAIL") \
  X(RCPT, "RCPT", "at RCPT") \
  X(DATA, "DATA", "at DATA") \
  X(BODY, "body", "within the message") \
  X(DOT, "dot", "at the end of the message")

enum ladder_rung {
#define X(name, word, at) RUNG_##name,
  LADDER_RUNGS(X)
#undef X
  RUNG_COUNT
};

/* what holds when something is seen */
enum ladder_fact {
  IF_NEEDED = 1 << 0,      /* the message cannot go without ESMTP (esmtp_needed) */
  IF_HUNG = 1 << 1,        /* EHLO was left unanswered here before */
  IF_4YZ = 1 << 2,         /* EHLO got 4yz here before */
  IF_OVER = 1 << 3,        /* the peer has closed after its reply */
  IF_NAME = 1 << 4,        /* the reply is about the name we said */
  IF_LITERAL = 1 << 5,     /* our address was said for a name already */
  IF_CARD = 1 << 6,        /* HELO was said first because of the card */
  IF_EHLO_50X = 1 << 7,    /* EHLO got 500 or 502 on this connection */
  IF_EHLO_501 = 1 << 8,    /* EHLO got 501 or 504 */
  IF_REUSED = 1 << 9,      /* not the first transaction on this connection */
  IF_BODY = 1 << 10,       /* MAIL had BODY= */
  IF_DSN = 1 << 11,        /* MAIL or RCPT had RET, ENVID, NOTIFY or ORCPT */
  IF_SIZE = 1 << 12,       /* MAIL had SIZE= */
  IF_BATCH = 1 << 13,      /* commands were pipelined */
  IF_ACCEPTED = 1 << 14,   /* some recipient was accepted in this transaction */
  IF_OWN_NAME = 1 << 15,   /* the peer says it is us */
  IF_TOO_BIG = 1 << 16,    /* the message is over the limit the peer declared */
  IF_NO_UTF8 = 1 << 17,    /* the message needs SMTPUTF8, the peer does not offer it */
  IF_UTF8 = 1 << 18,       /* MAIL had SMTPUTF8 */
  IF_MUST_UTF8 = 1 << 19,  /* an address or the header is not ASCII */
  IF_TLS = 1 << 20,        /* this connection is encrypted */
  IF_TLS_OFFERED = 1 << 21,
  IF_TLS_NEEDED = 1 << 22, /* nothing goes in clear: table `peers`, DANE, MTA-STS, REQUIRETLS */
  IF_TLS_HISTORY = 1 << 23, /* the peer did TLS lately, and no failure of it is believed yet */
  IF_NO_CLEAR = 1 << 24,   /* either of the two */
  IF_TLS_CARD = 1 << 25,   /* STARTTLS was offered and not used because of the card */
  IF_CERT_NEEDED = 1 << 26, /* the certificate must be good */
  IF_CERT_BAD = 1 << 27,   /* it is not */
  IF_REQUIRETLS = 1 << 28, /* RFC 8689: the message must not go in clear, ever */
  IF_MECHANISMS = 1 << 29, /* there are mechanisms of AUTH that were not tried */
  IF_TLS_REFUSED = 1 << 30, /* STARTTLS was refused on this connection */
  IF_PIX = 1U << 31,       /* something between us may look for the dot in one segment */
  IF_LATER = 1LL << 32,    /* signed 8-bit mail, no 8BITMIME here, and there are other hosts */
  IF_BARRED = 1LL << 33,   /* the same, and it is neither converted nor sent */
  IF_HELO = 1LL << 34,     /* HELO opened the session */
  IF_CARD_NAME = 1LL << 35, /* our address was said for a name because of the card */
  IF_TOO_MANY = 1LL << 36, /* the reply can be about the number of recipients */
  IF_HELO_FAILED = 1LL << 37, /* HELO, said first, was put off or left unanswered here before */
  IF_UNASKED = 1LL << 38,  /* the reply came before STARTTLS was said */
  IF_SYNC = IF_NAME        /* after the greeting: the reply is about commands sent together */
};

enum ladder_do {
  DO_BANNER,     /* read the banner */
  DO_GREET,      /* say what this connection was made for */
  DO_HELO,       /* HELO on this connection */
  DO_RSET,       /* RSET, HELO on this connection */
  DO_NAME,       /* greet again with the address literal, on this connection */
  DO_READY,      /* the peer's extensions are known: send mail */
  DO_PLAIN,      /* send mail without extensions */
  DO_FRESH_HELO, /* new connection, HELO */
  DO_FRESH_NAME, /* new connection, greet with the address literal */
  DO_FRESH_EHLO, /* new connection, EHLO with our name although the card speaks against it */
  DO_STARTTLS,   /* say STARTTLS */
  DO_HANDSHAKE,  /* the peer waits for it */
  DO_TLS_EHLO,   /* encrypted: EHLO again, what was said before is forgotten */
  DO_MECHANISM,  /* AUTH with the next mechanism */
  DO_CLEAR,      /* leave; when no other address takes it, new connection here, in clear */
  DO_FRESH_TLS,  /* new connection, STARTTLS although the card speaks against it */
  DO_NEXT,       /* leave, next address */
  DO_LATER,      /* the same, and come back when no other took the message */
  DO_DROP_WORSE, /* leave; neither this preference nor worse ones */
  DO_STOP,       /* leave, no other address in this attempt */
  /* within a transaction */
  DO_GO_ON,
  DO_RECIPIENT,  /* the reply is this recipient's result */
  DO_AGAIN,      /* this recipient in another transaction of this session */
  DO_SENDER,     /* the reply is the result of all in this transaction */
  DO_REDO,       /* RSET, the transaction again without an extension */
  DO_FRESH_REDO, /* the same on a new connection */
  DO_LOST        /* nobody knows whether it was taken: stop, wait at least an hour */
};

/* what it means when nothing else works */
enum ladder_final {
  FINAL_DEFER,   /* D */
  FINAL_GREET,   /* G: greeting-soft */
  FINAL_NO_MAIL, /* 521: bounces when every address says so */
  FINAL_LOOP,    /* A9 */
  FINAL_SIZE,    /* X8, X12 */
  FINAL_UTF8,    /* X19 */
  FINAL_REQUIRETLS, /* T1: bounces when no host does TLS */
  FINAL_8BIT,    /* X14: conversion is barred */
  FINAL_BOUNCE   /* B */
};

struct ladder_row {
  const char *number;   /* in LADDER.md 3 */
  enum ladder_rung rung;
  uint32_t saw;         /* set of 1 << enum saw */
  const char *code;     /* "421", "4..": what the reply code must look like; NULL: any */
  enum ladder_do then;
  uint64_t when, unless; /* sets of enum ladder_fact */
  enum ladder_final final;
  enum peers_fact learn; /* when what comes next has worked */
  enum peers_fact note;  /* at once */
  enum peers_fact erase; /* at once */
  uint32_t without;      /* enum verb_bit that is not used again */
  const char *status;    /* enhanced status code when the reply has none; NULL: the usual one */
};

/* the first row that fits; there always is one */
const struct ladder_row *ladder_find(enum ladder_rung rung, enum saw saw, unsigned int code,
                                     uint64_t facts);
/* all rows, for tests */
const struct ladder_row *ladder_rows(size_t *n);
/* "R2"; "timed out at EHLO" is written into out (LADDER_EVENT bytes) */
#define LADDER_EVENT 64
const char *ladder_rung_word(enum ladder_rung rung);
void ladder_event(char out[LADDER_EVENT], enum ladder_rung rung, enum saw saw);

#endif
