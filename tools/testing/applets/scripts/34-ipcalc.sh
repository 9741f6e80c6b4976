# SPDX-License-Identifier: GPL-2.0
# Address arithmetic, and net tools without a net.
ipcalc -n 192.168.1.77/24; ipcalc -b 10.1.2.3 255.255.0.0; ipcalc -p 10.1.2.3 255.255.240.0; ipcalc -m 172.16.5.4; ipcalc nonsense; echo $?; dnsdomainname 2>/dev/null; echo $? > /dev/null; hostname -s; hostname -f > /dev/null 2>&1; nslookup > /dev/null 2>&1; echo $?; wget > /dev/null 2>&1; echo $?; nc > /dev/null 2>&1; echo $?; telnet > /dev/null 2>&1; echo $?; tftp > /dev/null 2>&1; echo $?; ftpget > /dev/null 2>&1; echo $?; ftpput > /dev/null 2>&1; echo $?; ping > /dev/null 2>&1; echo $?; traceroute > /dev/null 2>&1; echo $?
for a in arp arping brctl ifconfig ifdown ifup ip ipneigh nameif netstat ping6 rdate route ssl_client tc telnetd traceroute6 udhcpc udhcpd dumpleases httpd slattach; do
	case $a in arping|brctl|nameif|ping6|rdate|traceroute6|ipneigh) timeout 5 $a nosuch.invalid > /dev/null 2>&1 < /dev/null; echo "$a $?" > /dev/null;; esac
done
ifup nosuch 2>&1 | wc -l; ifdown nosuch 2>&1 | wc -l
