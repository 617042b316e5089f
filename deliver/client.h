/* client.h - what an attempt does at one address: the greeting, then the mail
 *
 * The rungs act, ladder.c says what next. */
#ifndef DELIVER_CLIENT_H
#define DELIVER_CLIENT_H

#include "common/peerwords.h"
#include "deliver/attempt.h"
#include "deliver/conn.h"
#include "deliver/ehlo.h"

struct session {
  struct attempt *attempt;
  const struct target *target; /* place: the one below */
  struct target place;
  struct conn conn;
  struct reply reply;
  struct peers_card card;
  struct peerwords words;
  char address[IP_TEXT], literal[IP_TEXT + 8];
  uint32_t off;       /* verbs not used at this address: table, card, this attempt */
  uint32_t verbs;     /* enum verb_bit: offered on this connection and not off */
  struct ehlo ehlo;
  uint32_t offered;   /* enum verb_bit: on this connection, before TLS */
  uint64_t banner_ms; /* how long its banner took */
  uint64_t facts;     /* enum ladder_fact */
  int is_plain;       /* ... and the session is one without extensions */
  int is_helo;        /* HELO opened this connection: EHLO does not work here */
  enum ladder_rung greeting; /* what the next connection is for */
  unsigned int connections;
  const struct ladder_row *greeting_row, *mail_row; /* learn these when what follows works */
  uint16_t greeting_code, mail_code;
  char greeting_text[PEERS_TEXT], mail_text[PEERS_TEXT];
  char lesson[PEERS_TEXT]; /* the reply or event that was judged last */
  size_t accepted;       /* recipients, in this transaction */
  int has_accepted;      /* a recipient, from this attempt */
  uint64_t transactions; /* on this connection */
  enum saw saw;          /* last */
  int is_tls_off_by_card;
  char encryption[TLS_TEXT];  /* of the connection, when it has TLS: version and cipher */
  char certificate[TLS_TEXT]; /* what is to be said of it */
  uint64_t opened, since;     /* the connection: conn_clock(), epoch */
  int has_open_transaction;   /* a RSET must come before the next one */
  int is_fallback;            /* its host is not the best one */
  int is_taken_over;          /* an earlier attempt made this connection; 2: that was told */
  uint64_t begins_with;       /* transaction on it, in this attempt */
  enum peers_fact noted; /* last: what is said often is told once */
  enum ladder_rung reached; /* the rung whose greeting was taken; RUNG_COUNT: none */
  /* how it ended */
  enum ladder_do end;    /* DO_NEXT, DO_CLEAR, DO_DROP_WORSE, DO_STOP, DO_LOST; DO_GO_ON: all is settled */
  enum ladder_final final;
  char status[REPLY_STATUS];
  stralloc text;         /* "mx [192.0.2.1] said: ...", at most REPORT_TEXT bytes */
};

/* tries one address; the session's end fields say how it went. When all is settled the connection
 * stays open: client_leave() ends it. */
void client_try(struct session *s, struct attempt *a, const struct target *t);
/* whether the connection of an earlier attempt is open and may serve this one */
int client_suits(struct session *s, struct attempt *a);
/* goes on there: like client_try(), but the greeting is done */
void client_resume(struct session *s, struct attempt *a);
/* for how many ms the connection may serve other attempts, now that this one has no more use for
 * it; 0: it may not. Not before results are told: it may wait for the peer. */
uint64_t client_stays(struct session *s);
/* QUIT, and the end of the connection */
void client_leave(struct session *s);
void client_free(struct session *s);

/* for the transaction: finds the row for what was seen, reports the step, takes its notes */
const struct ladder_row *client_judge(struct session *s, enum ladder_rung rung, enum saw saw);
/* the reply, or what happened, as the text and status of a failure */
void client_explain(struct session *s, enum ladder_rung rung, enum saw saw,
                    const struct ladder_row *row);
/* "on a connection open since ..., message N on it" */
void client_connection(const struct session *s, char out[LADDER_EVENT + TLS_TEXT]);
/* tells the spawner what was chosen at a rung, in words */
void client_chose(struct session *s, enum ladder_rung rung, const char *what);
/* what happened, in a few words: "closed after EHLO", "encrypted with TLSv1.3 ..." */
#define CLIENT_EVENT (LADDER_EVENT + TLS_TEXT)
void client_event(const struct session *s, char out[CLIENT_EVENT], enum ladder_rung rung, enum saw saw);
/* tells the spawner; what taught it is s->lesson */
void client_learn(struct session *s, enum peers_fact f, const struct ladder_row *row, uint16_t code);
/* a fact proved wrong: forgotten, if the card has it */
void client_unlearn(struct session *s, enum peers_fact f, const char *row);
/* whether the card says so; when its time is over, this attempt is the one that tries without */
int client_card_says(struct session *s, enum peers_fact f);
/* what is known of the peer, and what the message needs of it, for a session that has no connection, or
 * goes on with the one it has */
void client_prepare(struct session *s, struct attempt *a);
/* carries out the row that ended a transaction, and what follows from it, to the end */
void client_go_on(struct session *s, const struct ladder_row *row);
/* acts on a rung; what was seen */
enum saw client_act(struct session *s, enum ladder_rung rung);
/* what was tried because a higher rung failed has now worked */
void client_greeted(struct session *s);
/* the greeting at that rung led to a session, with or without extensions: sends the mail. The row
 * that says what is next */
const struct ladder_row *client_ready(struct session *s, enum ladder_do how, enum ladder_rung rung);
/* sends a command line made of words, NULL at the end. 0, or -1: the connection is broken */
int client_say(struct session *s, ...);

#endif
