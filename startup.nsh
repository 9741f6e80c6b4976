fs0:
memmap
reset -s
