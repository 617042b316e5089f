/* tls_tickets.h - the keys with which TLS sessions are resumed
 *
 * tls_server.c has the context that uses them. They come from `heloise run` (conf/tickets.h), for
 * each service its own. */
#ifndef SMTPD_TLS_TICKETS_H
#define SMTPD_TLS_TICKETS_H

#include "common/service.h"

#define TICKET_KEYS 3       /* kept: one seals, all open */
#define TICKET_KEY_BYTES 80 /* name, AES-256 key, HMAC-SHA256 key */
#define TICKET_KEY_TEXT (2 * TICKET_KEY_BYTES + 1)

struct ssl_ctx_st;

/* a new key of a service, in hex: 0, or -1 when it is none */
int tls_tickets_add(const char *service, const char *hex);
/* makes a context use them; 0, or -1. Its sessions' service is their application data. */
int tls_tickets_use(struct ssl_ctx_st *c);

#endif
