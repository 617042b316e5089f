/* tls_server.h - our side of TLS: one context for all sessions of a process
 *
 * TLS 1.2 and 1.3; no compression, no renegotiation, no early data; sessions are resumed by
 * tickets alone. The session itself is common/tls.h's. RFC 3207, RFC 8446, RFC 9325. */
#ifndef SMTPD_TLS_SERVER_H
#define SMTPD_TLS_SERVER_H

#include <stddef.h>

#include "common/service.h"
#include "common/tls.h"

/* makes the context, once, before rights are given up: it reads OpenSSL's configuration. 0, or -1
 * with *why */
int tls_server_prepare(const char **why);
/* whether there is a context and a certificate */
int tls_server_is_ready(void);
/* a session on fd, which must be non-blocking and stays the caller's; tls_handshake() is next.
 * NULL: not ready, or out of memory */
struct tls *tls_server_start(int fd, const struct service *service);

/* the name the client asked for, as tls_names_clean() takes it; "" for none */
void tls_server_name(const struct tls *t, char out[256]);

/* channel binding: what both ends of this TLS session know and nobody between them can have the
 * same of. type: "tls-exporter" (RFC 9266), "tls-unique",
 * "tls-server-end-point" (RFC 5929). Its length in out, or
 * -1 when this session has none of this type. */
#define TLS_BINDING_MAX 64
int tls_server_binding(const struct tls *t, const char *type, unsigned char out[TLS_BINDING_MAX]);

#endif
