;;; fimd-menu.el --- fimd's text among other completions  -*- lexical-binding: t -*-

;; Copyright (C) 2026 The fimd authors

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Where eglot's server is fimd, its text is in the completion menu as any server's is.  Beside
;; another server, or none, `fimd-completion-at-point' puts it there: it asks our own daemon, and
;; adds the text to what the first other function of `completion-at-point-functions' has to offer
;; for the same symbol.  So one menu has both, whatever shows it.

;;; Code:

(require 'cl-lib)
(require 'jsonrpc)
(require 'fimd-daemon)
(require 'fimd-document)

(declare-function fimd-eglot-current "fimd-eglot")

(defconst fimd-menu--symbol "A-Za-z0-9_\u0080-\U0010ffff"
  "What the daemon takes for a symbol, as `skip-chars-backward' has it.")

(defun fimd-menu--request (conn method params)
  "Ask CONN the request METHOD with PARAMS.
Return nil if a key comes before its answer."
  (let (result answered)
    (unwind-protect
        (condition-case nil
            (setq result (jsonrpc-request conn method params :timeout 30
                                          :cancel-on-input t :cancel-on-input-retval 'cancelled)
                  answered (not (eq result 'cancelled)))
          ;; Out of date, or the daemon has just ended, which is told where it is noticed.
          (error (setq answered t result nil)))
      ;; Whoever asked for the candidates may also throw at a key.
      (unless answered
        (fimd-daemon-notify conn :$/cancelRequest (list :id (fimd-connection-sent conn)))))
    (and answered result)))

(defun fimd-menu--candidate (item beg encoding)
  "The text of ITEM as a candidate for the text from BEG to point, or nil.
Positions are counted in ENCODING.  The candidate's property `fimd' is the text
right of point that it takes the place of."
  (let* ((edit (plist-get item :textEdit))
         (range (plist-get edit :range))
         (from (if range (fimd-document-point (plist-get range :start) encoding)
                 (save-excursion (skip-chars-backward fimd-menu--symbol) (point))))
         (to (if range (fimd-document-point (plist-get range :end) encoding) (point)))
         (all (if range (plist-get edit :newText) (plist-get item :insertText)))
         (before (buffer-substring-no-properties (min beg from) (max beg from)))
         (text (cond ((>= from beg) (concat before all))
                     ((string-prefix-p before all) (substring all (length before))))))
    (unless (member text '(nil ""))
      (propertize text 'fimd (buffer-substring-no-properties (point) (max (point) to))))))

(defun fimd-menu--candidates (beg)
  "What the daemon would write in place of the text from BEG to point."
  (when-let* (((eq fimd-daemon-state 'ready))
              ((<= beg (point)))
              (conn (fimd-document-open))
              (encoding (fimd-document-encoding (fimd-connection-capabilities conn))))
    (delq nil
          (mapcar (lambda (item) (fimd-menu--candidate item beg encoding))
                  (plist-get
                   (fimd-menu--request conn :textDocument/completion
                                       (list :textDocument (fimd-document-identifier)
                                             :position (fimd-document-position (point) encoding)))
                   :items)))))

(defun fimd-menu--own-p (candidate)
  "Whether CANDIDATE is ours."
  (get-text-property 0 'fimd candidate))

;;;; Beside another function's candidates

(defun fimd-menu--other ()
  "What the first other function has to offer at point, or nil."
  (run-hook-wrapped
   'completion-at-point-functions
   (lambda (function)
     (unless (eq function #'fimd-completion-at-point)
       (let ((found (funcall function)))
         (and (consp found) (integer-or-marker-p (car found)) found))))))

(defun fimd-menu--sorted (sort)
  "A function that puts our candidates first, and the others as SORT does."
  (lambda (candidates)
    (let ((others (cl-remove-if #'fimd-menu--own-p candidates)))
      (append (cl-remove-if-not #'fimd-menu--own-p candidates)
              (if sort (funcall sort others) others)))))

(defun fimd-menu--metadata (table)
  "The metadata of TABLE, which may be nil, with our candidates first."
  (let* ((all (and table (cdr (completion-metadata "" table nil))))
         (sort (fimd-menu--sorted (alist-get 'display-sort-function all))))
    `(metadata (display-sort-function . ,sort)
               (cycle-sort-function . ,sort)
               ,@(cl-remove-if (lambda (entry)
                                 (memq (car-safe entry) '(affixation-function group-function)))
                               all))))

(defun fimd-menu--table (own other predicate)
  "A table of our candidates, by the function OWN, and of the table OTHER.
The latter may be nil.  PREDICATE is for it alone."
  (let* ((ours (lambda (string pred action)
                 (complete-with-action action (funcall own) string pred)))
         (theirs (if predicate
                     (apply-partially #'completion-table-with-predicate other predicate t)
                   other))
         (both (if other (completion-table-merge ours theirs) ours)))
    (lambda (string pred action)
      (if (eq action 'metadata)
          (fimd-menu--metadata other)
        (complete-with-action action both string pred)))))

(defun fimd-menu--documentation (candidate)
  "A buffer with CANDIDATE, which the menu may show as one line."
  (with-current-buffer (get-buffer-create " *fimd text*")
    (erase-buffer)
    (insert candidate)
    (current-buffer)))

(defconst fimd-menu--details
  `((:annotation-function . ,(lambda (_) " fimd"))
    (:company-kind . ,(lambda (_) 'text))
    (:company-doc-buffer . ,#'fimd-menu--documentation)
    (:company-docsig . ignore)
    (:company-deprecated . ignore)
    (:company-location . ignore))
  "What a menu may ask of one of our candidates.")

(defun fimd-menu--properties (properties)
  "The PROPERTIES of another function, with answers for our candidates, too."
  (cl-loop for (key . ours) in fimd-menu--details
           for theirs = (or (plist-get properties key) #'ignore)
           nconc (list key (let ((ours ours) (theirs theirs))
                             (lambda (candidate)
                               (funcall (if (fimd-menu--own-p candidate) ours theirs)
                                        candidate))))))

(defun fimd-menu--exit (offered theirs)
  "What to do after a candidate was taken; the function OFFERED has ours.
THEIRS is what the other function does, or nil."
  (lambda (candidate status)
    (let ((mine (car (member candidate (funcall offered)))))
      (cond
       ((not mine) (when theirs (funcall theirs candidate status)))
       ((not (eq status 'unknown))
        (let ((right (fimd-menu--own-p mine)))
          (when (looking-at-p (regexp-quote right))
            (delete-char (length right)))))))))

;;;###autoload
(defun fimd-completion-at-point ()
  "What fimd would write, for `completion-at-point-functions'.
It is added to what the next function there offers for the same symbol.  The
option `fimd-in-menu' puts this function first in buffers of `fimd-mode'."
  (unless (or (not (fimd-daemon-running-p))
              (and (featurep 'fimd-eglot) (fimd-eglot-current)))
    (pcase-let* ((`(,start ,end ,table . ,properties) (fimd-menu--other))
                 (beg (or start (save-excursion (skip-syntax-backward "w_") (point))))
                 (buffer (current-buffer))
                 (candidates nil)
                 (asked nil)
                 (own (lambda ()
                        (unless asked
                          (setq candidates (with-current-buffer buffer
                                             (fimd-menu--candidates beg))
                                ;; A key may have cut the answer short.
                                asked (not (input-pending-p))))
                        candidates)))
      ;; In the middle of a symbol what is to be replaced is not what we would write.
      (when (or (null start) (= end (point)))
        (append
         (list beg (point) (fimd-menu--table own table (plist-get properties :predicate))
               :exit-function (fimd-menu--exit (lambda () candidates)
                                               (plist-get properties :exit-function))
               :predicate nil
               :affixation-function nil)
         (fimd-menu--properties properties)
         (if start properties '(:exclusive no)))))))

(provide 'fimd-menu)
;;; fimd-menu.el ends here
