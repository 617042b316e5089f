/* login.h - is a client who it says? Exchanges with heloise-auth
 *
 * We pass on what the client answers and what it is to be asked; what it means is
 * heloise-auth's to know. */
#ifndef SMTPD_LOGIN_H
#define SMTPD_LOGIN_H

#include <stdint.h>

#include "common/loop.h"
#include "common/sasl.h"
#include "common/wire.h"

/* one exchange; zeroes and ops are its beginning */
struct login {
  struct loop_timer timer; /* first */
  const struct login_ops *ops;
  uint64_t number;
  int is_under_way;
};

struct login_ops {
  /* the client is to be asked this; login_step() follows, or login_drop() */
  void (*challenge)(struct login *l, const char *bytes, size_t len);
  /* it is over; name is NUL-terminated, and empty unless o is OUTCOME_OK */
  void (*outcome)(struct login *l, enum outcome o, const char *name);
};

/* what heloise-auth needs to begin */
struct login_begin {
  enum mechanism mechanism;
  const char *client;            /* ADDR:PORT */
  const char *exporter, *unique; /* channel bindings, raw */
  size_t exporterlen, uniquelen;
  const char *initial; /* NULL: no initial response */
  size_t initiallen;
};

/* the mechanisms that heloise-auth can do now, as bits */
unsigned int login_mechanisms(void);
/* 0, challenge() or outcome() follows; -1: nobody to ask now */
int login_start(struct login *l, const struct login_begin *b);
/* the client's answer to a challenge. 0, or -1: the exchange is lost, and over */
int login_step(struct login *l, const char *bytes, size_t len);
/* forgets the exchange, and has heloise-auth forget it */
void login_drop(struct login *l);

/* for userslink.c */
int login_message(struct wire_msg *m, const char **why);
void login_lose_all(void);

#endif
