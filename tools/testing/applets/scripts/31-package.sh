# SPDX-License-Identifier: GPL-2.0
# dpkg-deb, rpm2cpio: archives of distributions.
mkdir -p p/DEBIAN p/usr; echo file > p/usr/f; printf 'Package: t\nVersion: 1\nArchitecture: all\nMaintainer: n\nDescription: d\n' > p/DEBIAN/control; (cd p; tar czf ../data.tar.gz ./usr; cd DEBIAN; tar czf ../../control.tar.gz ./control); echo 2.0 > debian-binary; ar rc t.deb debian-binary control.tar.gz data.tar.gz 2>/dev/null; if [ -f t.deb ]; then dpkg-deb -c t.deb | awk '{print $NF}'; dpkg-deb -f t.deb Package; dpkg-deb -x t.deb out; cat out/usr/f; fi
dpkg-deb -c nosuch.deb; echo $?; echo junk > j.rpm; rpm2cpio j.rpm; echo $?; rpm -qp j.rpm > /dev/null 2>&1; echo $?; dpkg -l > /dev/null 2>&1; echo ran
