/* authlink.h - heloise-auth's ends of its channels to heloise-smtpd */
#ifndef SMTPD_AUTHLINK_H
#define SMTPD_AUTHLINK_H

/* one more channel: 0, or -1 with errno */
int authlink_add(int fd);
/* tells all smtpds what may be offered, if that is news to them */
void authlink_offer(void);

#endif
